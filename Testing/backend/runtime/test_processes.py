"""A process ends with all that it has started, with psutil and without it; what its log and its exit code say."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from kaf.runtime import logs, processes

# Starts a child of its own group and one that leaves it, says which they are, and waits for its end.
FAMILY = """
import subprocess, sys, time
nap = [sys.executable, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(nap).pid, subprocess.Popen(nap, start_new_session=True).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family():
    """A process, and the numbers of its children: the one in its group, the one outside."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True,
                          **processes.own_group()) as first:
        inside, outside = map(int, first.stdout.readline().split())
        yield first, inside, outside
        first.kill()
        for pid in (inside, outside):
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()


def gone(pid):
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_with_psutil_those_that_left_the_group_end_too(family):
    first, inside, outside = family
    processes.end_tree(first.pid, first.pid)
    assert first.wait(30) != 0
    assert gone(inside)
    assert gone(outside)


def test_without_psutil_the_group_ends(family, monkeypatch):
    first, inside, _ = family
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "psutil", None)
        processes.end_tree(first.pid, first.pid)
    assert first.wait(30) != 0
    assert gone(inside)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups that outlive their first process")
def test_the_group_of_a_process_that_is_over_ends_and_its_number_is_not_used(family, monkeypatch):
    first, inside, _ = family
    first.kill()
    first.wait(30)
    monkeypatch.setattr(processes, "_kill_each", lambda *_: pytest.fail("somebody else may have that number now"))
    processes.end_tree(None, first.pid)
    assert gone(inside)


def test_a_process_that_ends_itself_takes_its_children_along(tmp_path):
    script = ("import os, sys, subprocess, time; from kaf.runtime.processes import end_tree\n"
              "nap = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
              "print(nap.pid, flush=True)\n"
              "end_tree(os.getpid(), os.getpgrp() if hasattr(os, 'getpgrp') else 0)\n")
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=False,
                          env={**os.environ, "PYTHONPATH": path}, **processes.own_group())
    assert done.returncode != 0
    assert gone(int(done.stdout))


@pytest.mark.skipif(sys.platform == "win32", reason="its exit codes are others")
@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (137, "SIGKILL"), (-11, "SIGSEGV"), (3, "exit code 3"),
                                            (1000, "exit code 1000")])
def test_an_exit_code_has_a_name(code, name):
    assert processes.exit_name(code) == name


@pytest.mark.parametrize(("code", "name"), [(0xC0000005, "0xC0000005"), (0xC0000005 - 2 ** 32, "0xC0000005"),
                                            (137, "exit code 137")])
def test_an_exit_code_of_windows_has_a_name(monkeypatch, code, name):
    monkeypatch.setattr(processes.sys, "platform", "win32")
    assert processes.exit_name(code) == name


def test_the_last_line_of_a_log_is_that_of_the_process(tmp_path):
    log = tmp_path / "log.txt"
    assert logs.last_line(log) == ""
    log.write_bytes(logs.header(["python", "ä"]) + b"first\n" + b"old words\n\n")
    assert logs.last_line(log) == "old words"
    before = log.stat().st_size
    with log.open("ab") as file:
        file.write(logs.header(["python"]))
    assert logs.last_line(log) == logs.last_line(log, before) == ""
    with log.open("ab") as file:
        file.write(b"x" * 5000 + "\nTorch\u0020is missing \xe9\r\n \n".encode("latin-1"))
    assert logs.last_line(log, before) == "Torch is missing \ufffd"
    log.write_text("y" * 5000)
    assert logs.last_line(log) == "y" * 300
    assert logs.last_line_of("--- no header\n") == "--- no header"
