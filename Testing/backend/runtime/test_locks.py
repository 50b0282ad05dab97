"""A lock is one process's at a time, ends with it, and waits as long as it is asked to."""

import multiprocessing
import threading
import time

import pytest

from kaf.runtime import locks


def keep(path, pipe):
    with locks.hold(path):
        pipe.send("held")
        pipe.poll(60)  # until the other end is closed


@pytest.fixture
def other(tmp_path):
    """The path of a lock that another process holds, the process, and a pipe; once that is closed, the process ends.

    (A pipe, because an event of multiprocessing waits for ever for a listener that was killed.)
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=keep, args=(tmp_path / "x.lock", theirs))
    process.start()
    theirs.close()
    assert ours.poll(60)
    assert ours.recv() == "held"
    yield tmp_path / "x.lock", process, ours
    ours.close()
    process.join(60)


def test_what_another_process_holds_is_busy_until_it_ends(other):
    path, process, _ = other
    with pytest.raises(locks.BusyError), locks.hold(path):
        pytest.fail("it was another's")
    assert locks.is_held(path)
    process.kill()
    with locks.hold(path, wait=60.0):
        assert locks.is_held(path)
    assert not locks.is_held(path)
    assert path.exists(), "for the next one"


def test_one_may_wait_for_as_long_as_it_takes(other):
    path, _, pipe = other
    threading.Timer(0.5, pipe.close).start()
    with locks.hold(path, wait=float("inf")):
        assert pipe.closed


def test_a_wait_ends(tmp_path):
    with locks.hold(tmp_path / "y.lock"):
        begun = time.monotonic()
        with pytest.raises(locks.BusyError), locks.hold(tmp_path / "y.lock", wait=0.3):
            pass
        assert time.monotonic() - begun >= 0.3


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(ValueError, match="inside"), locks.hold(tmp_path / "z.lock"):
        raise ValueError("inside")
    assert not locks.is_held(tmp_path / "z.lock")
