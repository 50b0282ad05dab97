"""Another Python, in a process of its own: what it has, and every way in which it fails, as a message."""

import os
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import host
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.setup.Interpreter import Interpreter
from KAFSegmentationLib.setup.Packages import Packages

POSIX = pytest.mark.skipif(os.name == "nt", reason="writes a shell script")
pytestmark = pytest.mark.usefixtures("quietHost")


def requirements(*lines, folder):
    path = folder / "requirements.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Packages(path).requirements()


def test_this_python_is_found_with_its_versions(tmp_path):
    wanted = requirements("pydantic>=2", "pillow>=1", folder=tmp_path)
    findings = Interpreter(sys.executable).probe(wanted, host.PATIENCE)
    assert findings.python == ".".join(map(str, sys.version_info[:3]))
    assert findings.versions["torch"]
    assert findings.versions["pillow"]  # imported as PIL
    assert findings.device
    assert findings.problem(wanted) == "", findings


def planted(folder, name, body=""):
    """A package that the child will find first, and an empty torch, which loads faster than the real one."""
    for each, text in {"torch": "", name: body}.items():
        (folder / each).mkdir()
        (folder / each / "__init__.py").write_text(text, encoding="utf-8")


def test_a_package_that_is_not_there_or_too_old_is_named(tmp_path):
    planted(tmp_path, "pydantic")
    wanted = requirements("no-such-package>=1", "pydantic>=999", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert findings.lacking(wanted) == [("no-such-package", ">=1"), ("pydantic", ">=999")]
    assert "no-such-package and 1 other package cannot be used (" in findings.problem(wanted)
    assert "is too old" in findings.problem(wanted[1:])


def test_a_package_that_crashes_the_child_is_named(tmp_path):
    planted(tmp_path, "rotten", "import os, signal; os.kill(os.getpid(), getattr(signal, 'SIGSEGV', 9))")
    wanted = requirements("rotten", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    problem = findings.problem(wanted)
    assert "while importing rotten" in problem
    assert os.name == "nt" or problem == "it ended unexpectedly (SIGSEGV) while importing rotten"


def test_a_package_that_ends_the_child_quietly_is_named(tmp_path):
    planted(tmp_path, "quiet", "import os; os._exit(0)")
    wanted = requirements("quiet", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert findings.problem(wanted) == "it stopped without a message while importing quiet"


def test_a_package_of_which_only_the_folder_is_left_does_not_count(tmp_path):
    planted(tmp_path, "unused")
    (tmp_path / "hollow").mkdir()
    wanted = requirements("hollow", folder=tmp_path)
    findings = Interpreter(sys.executable, {"PYTHONPATH": str(tmp_path)}).probe(wanted)
    assert "only an empty folder of it is left" in findings.problem(wanted)


def test_a_child_that_never_ends_is_ended_with_all_it_started_and_slicer_stays_alive(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    script = "\n".join((
        "import subprocess, sys, time",
        "sleeper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
        f"open({str(pid)!r}, 'w').write(str(sleeper.pid))",
        "print('hello', flush=True)",
        "time.sleep(600)",
    ))
    redraws, said, clock = [], [], time.monotonic
    # The limit has passed as soon as it has said hello, however slow this computer is.
    monkeypatch.setattr(time, "monotonic", lambda: clock() + (900 if said else 0))
    interpreter = Interpreter(sys.executable, pump=lambda: redraws.append(1))
    assert interpreter.run(["-c", script], 600.0, said.append) == "it did not finish within 600 s"
    assert said == ["hello"]
    assert redraws
    assert wasEnded(int(pid.read_text()))


def wasEnded(pid):
    for _ in range(300):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True  # dead, and not yet collected by whoever inherited it
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_program_that_is_no_python_and_one_that_is_not_there(tmp_path):
    assert Interpreter(str(tmp_path / "none")).probe([]).problem([]).startswith("it cannot be started (")
    done = Interpreter(sys.executable)
    assert done.run(["-c", "import sys; print('to stderr', file=sys.stderr); sys.exit(3)"], 30) == \
        'it ended unexpectedly (exit code 3): "to stderr"'


@POSIX
def test_an_old_python_is_recognised_by_its_version(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"python": "3.8.10"}\'\necho \'{"done": true}\'\n')
    python.chmod(0o755)
    assert "is Python 3.8.10" in Interpreter(str(python)).probe([]).problem([])


def test_a_foreign_python_on_windows_keeps_what_windows_itself_has_set(monkeypatch, tmp_path):
    """Qt lists SystemRoot where Python lists SYSTEMROOT; without it no child can import asyncio."""
    import slicer

    theirs = {"SystemRoot": "C:\\Windows", "ProgramFiles": "C:\\Program Files", "windir": "C:\\Windows",
              "ComSpec": "C:\\Windows\\system32\\cmd.exe", "Path": "C:\\Windows"}
    ours = {**{name.upper(): value for name, value in theirs.items()}, "PATH": "C:\\Slicer\\bin;C:\\Windows",
            "PYTHONHOME": "C:\\Slicer\\lib\\Python", "SLICER_HOME": "C:\\Slicer"}
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: theirs)
    monkeypatch.setattr(os, "environ", ours)
    monkeypatch.setattr(sys, "platform", "win32")
    changes = environmentFor(str(tmp_path / "python.exe"))
    assert {name for name, value in changes.items() if value is None} == {"PYTHONHOME", "PYTHONPATH", "SLICER_HOME"}
    assert {name.upper(): value for name, value in changes.items() if value is not None} == {"PATH": "C:\\Windows"}
