"""Making items ahead: order, how far ahead, errors, and the end."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kaf.data.prefetch import Prefetch


def answer(batches):
    """What ``next`` says, from a thread, so that a ``next`` that waits for ever fails the test."""
    said = []

    def ask():
        try:
            said.append(next(batches))
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(20)
    assert said, "next() never came back"
    return said[0]


def test_prefetch_delivers_in_order():
    batches = Prefetch(lambda step: step * step, first=3, ahead=2)
    assert [next(batches) for _ in range(20)] == [step * step for step in range(3, 23)]
    batches.close()


def test_prefetch_works_ahead_but_not_further():
    made, third = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 2:
            third.set()
        return step

    batches = Prefetch(make, ahead=2)
    assert third.wait(10), "two wait in the queue and one in the hand"
    batches.close()
    assert made == [0, 1, 2]


def test_prefetch_hands_on_the_error_after_what_was_good():
    def make(step):
        if step == 2:
            raise ValueError("slice 2 is broken")
        return step

    batches = Prefetch(make)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="slice 2 is broken"):
        next(batches)
    assert str(answer(batches)) == "slice 2 is broken"
    batches.close()
    assert isinstance(answer(batches), StopIteration)


@pytest.mark.parametrize("taken", [0, 5])
def test_prefetch_closes_with_a_full_queue(taken):
    before = threading.active_count()
    batches = Prefetch(lambda step: np.zeros(10), ahead=1)
    for _ in range(taken):
        next(batches)
    batches.close()
    assert threading.active_count() == before


def test_prefetch_ends_for_who_comes_after_the_close():
    batches = Prefetch(lambda step: step)
    assert next(batches) == 0
    batches.close()
    batches.close()
    assert isinstance(answer(batches), StopIteration)
    assert list(batches) == []


def test_prefetch_ends_for_who_waits_when_it_is_closed():
    go_on, asked = threading.Event(), threading.Event()

    def make(step):
        asked.set()
        go_on.wait(60)
        return step

    batches = Prefetch(make)
    assert asked.wait(20)
    closer = threading.Timer(0.3, batches.close)  # while `answer` waits for the first item
    closer.start()
    try:
        assert isinstance(answer(batches), StopIteration)
    finally:
        go_on.set()
        closer.join()
