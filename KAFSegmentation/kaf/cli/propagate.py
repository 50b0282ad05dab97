"""``kaf propagate``: the other slices of a scan from a few finished ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.checks import check_paths
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.imaging.file_names import result_name
from kaf.modelfile.licences import notice
from kaf.runtime.errors import SettingsError
from kaf.runtime.file_set import file_set
from kaf.settings.propagate import PropagateSettings


class PropagateCommand(Command, PropagateSettings):  # type: ignore[misc]
    """Label the unfinished slices of a scan from a few finished ones, without training.

    The finished slices stay exactly as drawn.  Beside the segmentation a confidence map and a .json file are written:
    how sure each slice is, which to check next, and whether the model, the finished slices or both were used.
    """

    input: CliPositionalArg[str] = Field(description="scan: a file or a DICOM folder")
    drawn: CliPositionalArg[str] = Field("", description="label map on the grid of the scan, correct in the finished "
                                                         "slices; needed unless --memory is given")
    output: str = Field("", description="segmentation to write; default: the scan's name with -propagated.seg.nrrd, in "
                                        "the current folder")
    save_memory: str = Field("", description="also keep the finished slices in this file (.safetensors), for --memory "
                                             "with other scans; slices that are in the file stay in it")
    overwrite: bool = Field(False, description="replace existing results")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(PropagateCommand, arguments, "propagate")
    settings: PropagateSettings = command.only(PropagateSettings)
    output = Path(command.output or f"{result_name(command.input)}-propagated.seg.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.volume import read_labels, read_volume
    from kaf.imaging.write import check_suffix, write_labels, write_map

    name_of(command.input)
    check_suffix(output)
    if not (command.drawn or settings.memory):
        raise SettingsError("kaf propagate", "needs DRAWN, a label map with finished slices, or --memory",
                            "See `kaf propagate --help`.")
    paths = _paths(output, settings.confidence)
    inputs = [file for file in (command.input, command.drawn, settings.memory) if file]
    check_paths(inputs, paths.values(), command.overwrite, settings.model)
    kept = Path(command.save_memory) if command.save_memory else None
    if kept is not None:
        check_paths(inputs[:2], [kept], True, "")
    volume = read_volume(command.input, command.frame, command.series or None)
    drawn = read_labels(command.drawn) if command.drawn else None
    from kaf.memory.earlier import load_earlier, save_earlier
    from kaf.verbs.propagate import propagate as run

    before = load_earlier(kept) if kept is not None and kept.exists() else None
    result = run(volume, drawn, settings, console)
    slices = None
    if kept is not None:
        slices = result.remember(date.today().isoformat())
        slices = slices if before is None else before.joined(slices)
    report: dict[str, Any] = {
        "input": command.input, "drawn": command.drawn or None, "memory": command.save_memory or None,
        "outputs": {name: str(path) for name, path in paths.items()},
        "settings": settings.model_dump(), **result.report()}
    with file_set(list(paths.values()), command.overwrite) as names:
        write_labels(names[paths["labels"]], result.labels, result.structures)
        if result.confidence is not None:
            write_map(names[paths["confidence"]], result.confidence)
        if kept is not None and slices is not None:
            save_earlier(kept, slices)
        names[paths["report"]].write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    notice(result.card, console)
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in report["volumes_ml"].items()]
    check = "none" if report["next"] is None else str(report["next"])
    console.result(report, "\n".join([*lines, f"slice to check next: {check}", f"written: {output}"]))


def _paths(labels: Path, confidence: bool) -> dict[str, Path]:
    """The files of a result; the report, which tells of the others, is the last."""
    stem = labels.with_name(result_name(labels))
    paths = {"labels": labels}
    if confidence:
        paths["confidence"] = Path(f"{stem}-confidence.nrrd")
    return {**paths, "report": Path(f"{stem}-report.json")}
