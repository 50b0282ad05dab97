"""What the networks of an experiment were made from, so that those that are kept are those that were asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaf.data.folder import Case
from kaf.imaging.source import is_same, stamp_of
from kaf.runs.job_folder import read_json
from kaf.runtime import json_files
from kaf.runtime.errors import OutputError, SettingsError
from kaf.settings.base import Settings, build

_DATA = "data.json"
_SAID = 3  # so many cases are named
# Where and how it runs, what it starts from (another run of the experiment), and the scans, which have their stamps.
_FREE = frozenset(("data", "output", "resume", "overwrite", "device", "threads", "precision", "cache", "cache_limit",
                   "checkpoint_every", "init_from", "labelled"))
_FOUND = frozenset(("spacing", "slicing_axis", "slice_context", "normalisation", "network", "keypoints", "batch"))


def check_recipe(run: Path, wanted: Settings, said: Mapping[str, Any]) -> None:
    """Whether the run in a folder, if there is one, was begun with these settings.

    said: the settings that were given; others may have come from the weights that the run started from.

    Raises:
        OutputError: it was not.
    """
    found = read_json(run / "settings.json")
    if not found:
        return
    try:
        begun = build(type(wanted), found, run / "settings.json").model_dump(mode="json")
    except SettingsError as error:
        raise OutputError(run, f"was started by another version of KAF, with settings that this one does not know "
                          f"({error.reason})", "Choose another output folder, or go on in that version.") from error
    asked = wanted.model_dump(mode="json")
    for values in (begun, asked):
        values["unlabelled"] = bool(values.get("unlabelled"))
    changed = [name for name in asked if name not in _FREE and asked[name] != begun[name]
               and (name in said or name not in _FOUND)]
    if changed:
        raise OutputError(run, f"was started with other settings ({', '.join(changed)})",
                          "Choose another output folder, or the earlier settings.")


def records_of(output: Path, groups: Mapping[str, Sequence[Case]]) -> dict[Path, str]:
    """The file beside the results, and its text, that says for :func:`check_data` what the scans and label maps of an
    experiment are; none where it is there already.

    Raises:
        InputError: a scan or a label map cannot be read.
    """
    if (output / _DATA).exists():
        return {}
    stamps = {group: {case.name: _stamps(case) for case in cases} for group, cases in groups.items()}
    return {output / _DATA: json.dumps(stamps, indent=1) + "\n"}


def check_data(output: Path, groups: Mapping[str, Sequence[Case]]) -> None:
    """Whether the scans and label maps of an experiment, if one was begun in the folder, are those of its beginning.

    groups: the labelled cases, and those that are only pretrained on.

    Raises:
        OutputError: some are others.
    """
    path = output / _DATA
    try:
        known = json_files.read(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(path, f"cannot be read ({error})", "Choose another output folder.") from error
    changed = []
    for group, cases in groups.items():
        was = known.get(group) if isinstance(known, dict) else None
        was = was if isinstance(was, dict) else {}
        changed += sorted(was.keys() - {case.name for case in cases})
        changed += [case.name for case in cases if not _is_known(case, was.get(case.name))]
    if changed:
        more = f" and {len(changed) - _SAID} more" if len(changed) > _SAID else ""
        raise OutputError(output, "contains an experiment on other files: since it was started, these cases were "
                          f"replaced, changed, added or removed: {', '.join(changed[:_SAID])}{more}",
                          "Choose another output folder, or restore the earlier files.")


def _stamps(case: Case) -> dict[str, Any]:
    return {"image": stamp_of(case.image), **{name: stamp_of(path) for name, path in _labels(case).items()}}


def _labels(case: Case) -> dict[str, Path]:
    """The files of its labels by what they are kept under: "label" for the only one."""
    files = case.label_files
    return {"label": files[0]} if len(files) == 1 else {f"label {path.name}": path for path in files}


def _is_known(case: Case, stamps: object) -> bool:
    if not isinstance(stamps, dict):
        return False
    files = _labels(case)
    return stamps.keys() == {"image", *files} and is_same(case.image, stamps.get("image")) and all(
        is_same(path, stamps[name]) for name, path in files.items())
