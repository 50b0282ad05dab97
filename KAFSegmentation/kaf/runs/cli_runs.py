"""Run folders that no job made: those of the command line, of a cluster, of an older version.

Only the standard library: Slicer's own process uses this file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kaf._version import __version__
from kaf.runs import record
from kaf.runs.job_folder import read_json

LOCK = ".lock"
WORDS = "run.json"
_FORMAT = 1
_CELL = re.compile(r"m(\d{1,9})-draw(\d{1,9})-fold(\d{1,9})", re.ASCII)  # the folder of a network


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run, or of a comparison."""
    return all((folder / name).is_file() for name in ("settings.json", "events.jsonl")) \
        or (folder / "folds.json").is_file()


def verb_of(folder: Path) -> str:
    """The command that wrote the folder: by its own words, or, where an older version left none, by its settings."""
    if (folder / "folds.json").is_file():
        return "compare"
    words = read_json(folder / WORDS).get("verb")
    if words and isinstance(words, str):
        return words
    return "pretrain" if "method" in read_json(folder / "settings.json") else "finetune"


def values_of(folder: Path) -> dict[str, Any]:
    """The settings of the run."""
    table = read_json(folder / "comparison.json").get("settings")
    values = table if isinstance(table, dict) else read_json(folder / "settings.json")
    return values if record.is_plain(values) else {}


def created(folder: Path) -> float:
    """When the run began, as well as its files tell."""
    words = read_json(folder / WORDS).get("created")
    if record.is_time(words):
        return float(words)
    times = []
    for path in folder.glob("*.json"):
        with suppress(OSError):  # a link that leads nowhere
            times.append(path.stat().st_mtime)
    return min(filter(record.is_time, times), default=0.0)


def version_of(folder: Path) -> Version:
    """The version that made this run."""
    if (folder / "folds.json").is_file():
        return Version("", True)
    words = read_json(folder / WORDS)
    return version(words.get("version"), words.get("format", 0), _FORMAT)


class Version(NamedTuple):
    """A sentence where another version made a run, and whether this one can go on with it."""

    note: str
    usable: bool


def version(name: Any, form: Any, own: int) -> Version:
    """``name`` is that of the version, ``form`` the number of its format, ``own`` ours."""
    if name and form == own:
        same = name == __version__
        return Version("" if same else f"This run was made by KAF {name}; this is KAF {__version__}.", True)
    which = "a newer" if isinstance(form, int) and form > own else "an older"
    by = f" ({name}; this is {__version__})" if name else ""
    return Version(f"This run was made by {which} version of KAF{by}. It can be viewed here; resume it with that "
                   "version, or start a new run in another folder.", False)


def run_words(verb: str, now: float) -> dict[str, Any]:
    """What a run folder says of itself."""
    return {"format": _FORMAT, "verb": verb, "version": __version__, "created": round(now, 3)}


def compare_state(folder: Path) -> str:
    """finished, or stopped: the files of a comparison do not tell whether somebody works on it."""
    table = read_json(folder / "comparison.json")
    made, planned = table.get("networks"), table.get("planned")
    if planned is None:  # an older version wrote the table
        made, planned = _counted(folder, table.get("settings"))
    return "finished" if planned and made == planned else "stopped"


def _counted(folder: Path, settings: Any) -> tuple[int, int]:
    """How many networks of a comparison have been tested, and how many its settings ask for; 0 where they are
    damaged."""
    try:
        few_shot, draws, folds = settings["few_shot"], int(settings["draws"]), settings["run_folds"]
        planned = (len(settings["methods"]) + len(settings["arms"])) * len(few_shot) * draws * len(folds)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0, 0
    cells = (_CELL.fullmatch(path.parent.name) for path in folder.glob("*/*/result.json"))
    found = [tuple(map(int, cell.groups())) for cell in cells if cell]
    return sum(m in few_shot and draw < draws and fold in folds for m, draw, fold in found), planned
