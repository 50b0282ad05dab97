"""Folders of this computer: kept with Slicer's settings, never in a scene."""

import re
from pathlib import Path

import qt

_DATA, _RUNS = "KAFPretrain/DataFolder", "KAFPretrain/RunsFolder"


def dataFolder() -> str:
    """The folder of scans that was chosen last, or nothing."""
    return str(qt.QSettings().value(_DATA) or "")


def setDataFolder(path: str) -> None:
    """Keeps the folder of scans for the next session."""
    qt.QSettings().setValue(_DATA, path)


def runsFolder() -> str:
    """The output folder, in which runs are made and searched for: the user's choice, else one in their documents."""
    return str(qt.QSettings().value(_RUNS) or Path.home() / "Documents" / "KAF runs")


def setRunsFolder(path: str) -> None:
    """Keeps the output folder for the next session."""
    qt.QSettings().setValue(_RUNS, path)


def newFolder(parent: str | Path, name: str) -> Path:
    """The path of a folder in ``parent`` that does not exist yet: "heart", then "heart-2"."""
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    path, number = Path(parent) / plain, 1
    while path.exists():
        number += 1
        path = Path(parent) / f"{plain}-{number}"
    return path
