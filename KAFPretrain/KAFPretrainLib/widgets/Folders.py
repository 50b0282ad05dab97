"""Folders of this computer: kept with Slicer's settings, never in a scene."""

import re
from pathlib import Path

import qt

_DATA, _RUNS, _SPLIT = "KAFPretrain/DataFolder", "KAFPretrain/RunsFolder", "KAFPretrain/Split"


def dataFolder():
    """The folder of scans that was chosen last, or nothing."""
    return str(qt.QSettings().value(_DATA) or "")


def setDataFolder(path):
    qt.QSettings().setValue(_DATA, path)


def runsFolder():
    """Where runs go and are looked for: the user's choice, else a folder in their documents."""
    return str(qt.QSettings().value(_RUNS) or Path.home() / "Documents" / "KAF runs")


def setRunsFolder(path):
    qt.QSettings().setValue(_RUNS, path)


def newFolder(parent, name):
    """A folder below ``parent`` that does not exist yet, named after ``name``: "heart", then "heart-2"."""
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    path, number = Path(parent) / plain, 1
    while path.exists():
        number += 1
        path = Path(parent) / f"{plain}-{number}"
    return path
