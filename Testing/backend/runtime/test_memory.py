"""Free memory is reported on every system, with psutil and without it."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kaf.runtime import memory

GIGABYTE = 1 << 30


def without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)


def test_psutil_tells_it_on_every_system(monkeypatch):
    reported = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=3 * GIGABYTE))
    monkeypatch.setitem(sys.modules, "psutil", reported)
    for system in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", system)
        assert memory.free_memory() == 3 * GIGABYTE


def test_this_computer_has_some():
    psutil = pytest.importorskip("psutil")
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total


@pytest.mark.skipif(not memory._MEMINFO.exists(), reason="this system has no /proc/meminfo")
def test_linux_tells_it_without_psutil(monkeypatch):
    before = memory.free_memory()
    without_psutil(monkeypatch)
    assert memory.free_memory() == pytest.approx(before, rel=0.5)


def test_windows_tells_it_without_psutil(monkeypatch):
    without_psutil(monkeypatch)
    monkeypatch.setattr(sys, "platform", "win32")

    def fill(reference):
        status = reference._obj
        assert status.length == ctypes.sizeof(status) == 64  # else Windows refuses
        status.free = 5 * GIGABYTE
        return 1

    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=fill)),
                        raising=False)
    assert memory.free_memory() == 5 * GIGABYTE


def test_a_system_that_tells_nothing(monkeypatch, tmp_path):
    without_psutil(monkeypatch)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.free_memory() is None


def test_the_peak_grows_with_what_is_taken(monkeypatch):
    before = memory.peak_memory()
    taken = np.ones(max(before, GIGABYTE // 16) // 6)  # a third more than ever
    assert memory.peak_memory() > before
    assert taken.sum()


def test_the_peak_on_windows(monkeypatch):
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=7 * GIGABYTE))
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(Process=lambda: process))
    assert memory.peak_memory() == 7 * GIGABYTE
    without_psutil(monkeypatch)
    assert memory.peak_memory() == 0
