"""Batches from worker processes: those of one thread, in order; errors, the end, and how many there are."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest
import torch
from pretrain_toys import some_cases, some_views

from kaf.data import loader
from kaf.data.loader import batches, pinned, resolved_workers
from kaf.data.prefetch import Prefetch
from kaf.runtime.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
forks = pytest.mark.skipif(sys.platform != "linux", reason="worker processes are forked")


def test_how_many_workers_there_are(monkeypatch):
    monkeypatch.setattr(loader, "free_processors", lambda: 16)
    monkeypatch.setattr(sys, "platform", "linux")
    assert resolved_workers(None, CPU) == 0
    assert resolved_workers(None, GPU) == 12
    assert resolved_workers(None, GPU, 4) == 3
    assert resolved_workers(5, CPU) == 5
    assert resolved_workers(0, GPU) == 0
    monkeypatch.setattr(sys, "platform", "win32")
    assert resolved_workers(5, GPU) == 0


@forks
def test_workers_make_the_batches_of_one_thread():
    """Bit for bit and in order, so that a run may be resumed with another number of them."""
    views = some_views(some_cases(1, slices=3, size=48))

    def make(step):
        return step, views.batch(step, 2), os.getpid()

    many, one = batches(make, 3, workers=2), batches(make, 3)
    assert isinstance(one, Prefetch)
    makers = set()
    for step in range(3, 9):
        (a, theirs, process), (b, mine, _) = next(many), next(one)
        assert a == b == step
        makers.add(process)
        assert theirs.matches.equal(mine.matches)
        for name, view in mine.views.items():
            for part, values in vars(view).items():
                assert values is None or values.equal(getattr(theirs.views[name], part)), (name, part)
    assert len(makers) == 2
    assert os.getpid() not in makers
    many.close()
    one.close()


@forks
def test_errors_come_in_their_turn_and_as_they_are():
    def make(step):
        if step == 1:
            raise InputError("slice 2", "is broken", "Mend it.")
        if step == 2:
            raise ValueError("what nobody expects")
        return np.full(3, step)

    made = batches(make, 0, workers=1)
    assert next(made).tolist() == [0, 0, 0]
    with pytest.raises(InputError, match=r"slice 2: is broken\. Mend it\."):
        next(made)
    with pytest.raises(RuntimeError, match="ValueError: what nobody expects"):
        next(made)
    made.close()


@forks
def test_closing_ends_the_processes():
    made = batches(lambda step: os.getpid(), 0, workers=2)
    processes = {next(made), next(made)}
    made.close()
    made.close()
    with pytest.raises(StopIteration):
        next(made)
    for process in processes:
        end = time.monotonic() + 10
        while time.monotonic() < end and os.path.exists(f"/proc/{process}"):
            time.sleep(0.01)
        assert not os.path.exists(f"/proc/{process}")


def test_pinning_reaches_the_tensors(monkeypatch):
    batch = some_views(some_cases(1, slices=3, size=48)).batch(0, 2)
    seen = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: seen.append(values.shape) or values)
    step, made = pinned((4, batch))
    assert step == 4
    assert made.views["anchor"].image.equal(batch.views["anchor"].image)
    assert len(seen) == 3 + sum(values is not None for view in batch.views.values() for values in vars(view).values())
