"""The environment of children: names are compared as the system does, and a child that is told little still starts."""

from __future__ import annotations

import os
import sys

from kaf.runtime.environment import changed, changes_to, child_environment

# As Python lists them on Windows, and as Qt gives those that Slicer was started with.
THERE = {"SYSTEMROOT": r"C:\Windows", "PROGRAMFILES": r"C:\Program Files", "COMSPEC": r"C:\Windows\system32\cmd.exe",
         "PATH": r"C:\Slicer\bin;C:\Windows", "PYTHONHOME": r"C:\Slicer\lib\Python", "SLICER_HOME": r"C:\Slicer"}
STARTED = {"SystemRoot": r"C:\Windows", "ProgramFiles": r"C:\Program Files", "ComSpec": r"C:\Windows\system32\cmd.exe",
           "Path": r"C:\Windows"}


def test_windows_takes_names_of_any_case_for_the_same(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(THERE))
    monkeypatch.setattr(sys, "platform", "win32")
    changes = changes_to(STARTED)
    assert changes == {"PYTHONHOME": None, "SLICER_HOME": None, "PATH": r"C:\Windows"}
    assert changed(changes) == {name.upper(): value for name, value in STARTED.items()}
    assert changed({"Path": "D:", "pythonHome": None})["PATH"] == "D:"
    assert not {"Path", "PYTHONHOME"} & set(changed({"Path": "D:", "pythonHome": None}))


def test_elsewhere_names_of_another_case_are_others(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "HOME": "/root"})
    assert changes_to({"Path": "/usr", "HOME": "/root"}) == {"PATH": None, "Path": "/usr"}
    assert changed({"Path": "/usr"}) == {"PATH": "/bin", "HOME": "/root", "Path": "/usr"}


def test_a_child_finds_this_package_first(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    home, *others = child_environment()["PYTHONPATH"].split(os.pathsep)
    assert os.path.isfile(os.path.join(home, "kaf", "runtime", "environment.py"))
    assert others == ["mine"]
    assert child_environment({"PYTHONPATH": None})["PYTHONPATH"] == home
