"""The user's folders are where platformdirs put them, so that every library made before is found again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from kaf.runtime import user_folders
from kaf.runtime.user_folders import cache_folder, data_folder, state_folder

KINDS = {"data": data_folder, "cache": cache_folder, "state": state_folder}
VARIABLES = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
ENVIRONMENTS = {
    "plain": {}, "moved": {name: f"/disk/{name.lower()}" for name in VARIABLES},
    "relative": dict.fromkeys(VARIABLES, "disk/here"), "empty": dict.fromkeys(VARIABLES, ""),
    "another home": {"HOME": "/elsewhere/me"}, "a relative home": {"HOME": "me"}, "no home": {"HOME": ""},
}


@pytest.mark.skipif(os.name == "nt", reason="homes are named otherwise there")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("platform", "theirs"), [("linux", Unix), ("darwin", MacOS)])
def test_linux_and_macos(monkeypatch, platform, theirs, environment, kind):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENTS[environment].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(user_folders.sys, "platform", platform)
    assert KINDS[kind]() == Path(getattr(theirs("kaf"), f"user_{kind}_dir"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ["C:/Users/Jörg/AppData/Local", "//server/share/profile"])
def test_windows(monkeypatch, kind, answer):
    """The shell's answer is a stand-in here; what is made of it is compared."""
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: answer)
    theirs = Path(getattr(Windows("kaf"), f"user_{kind}_dir"))
    monkeypatch.setattr(user_folders, "_known_folder", lambda: answer)
    monkeypatch.setattr(user_folders.sys, "platform", "win32")
    assert KINDS[kind]() == theirs


def test_windows_without_an_answer_has_the_environment(monkeypatch):
    monkeypatch.setattr(user_folders, "_known_folder", lambda: "")
    monkeypatch.setattr(user_folders.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/users/me/local")
    assert data_folder() == Path("/users/me/local/kaf/kaf")


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows itself")
def test_windows_answers_as_platformdirs_hears_it():
    code = "import platformdirs; print(platformdirs.user_data_path('kaf'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert data_folder() == Path(done.stdout.strip())
