"""``kaf demo``: segment a synthetic heart, or the user's own scan, and draw the result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.imaging.file_names import result_name
from kaf.modelfile.library import find_model
from kaf.runs.job_folder import read_json
from kaf.runtime.errors import OutputError
from kaf.runtime.events import Message
from kaf.runtime.file_set import file_set
from kaf.runtime.files import file_digest

if TYPE_CHECKING:
    from kaf.imaging.labels import Label
    from kaf.imaging.volume import Volume

# The phantom's values, and how a model names such a structure; the muscle first, it is "left ventricular" too.
_STRUCTURES = {2: r"myocard", 1: r"right ventric|\brv\b", 3: r"left ventric|\blv\b"}


class DemoCommand(Command):
    """Segment a scan, and draw the result and the network's attention.

    Without --input, the scan is a synthetic heart with a known reference segmentation, and Dice is reported.
    """

    input: str = Field("", description="scan of your own: a file or a DICOM folder; default: a synthetic heart")
    model: str = Field("cardiac-mr-sax", description="name of a model in the library, or a .safetensors file")
    output: str = Field("demo-output", description="folder for the results; files of an earlier demo are replaced")
    seed: int = Field(0, ge=0, description="random seed of the synthetic heart")
    frame: int | None = Field(None, ge=0, description="frame of a 4-D scan, or phase, echo or stack of a DICOM "
                                                      "series, counted from 0")
    series: str = Field("", description="series to use where a DICOM folder contains several: its UID, number or "
                                        "description")


def main(arguments: Sequence[str], console: Console) -> None:
    command = parse(DemoCommand, arguments, "demo")
    folder = Path(command.output)
    find_model(command.model)
    volume, truth, stem = _scan(command, folder)
    files = {name: folder / f"{stem}{ending}" for name, ending in (
        ("scan", ".nrrd"), ("segmentation", "-seg.seg.nrrd"), ("attention", "-attention.nrrd"),
        ("uncertainty", "-uncertainty.nrrd"), ("picture", "-overview.png"), ("record", "-demo.json"))}
    if truth is None:
        del files["scan"]
    _check_free(files)
    from kaf.imaging.write import write_labels, write_map
    from kaf.modelfile.licences import notice
    from kaf.picture.overview import overview
    from kaf.settings.segment import SegmentSettings
    from kaf.verbs.segment import segment

    settings = SegmentSettings(model=command.model, attention=True, uncertainty=True)
    result = segment(volume, settings, console)
    card = result.card
    notice(card, console)
    assert result.attention is not None
    assert result.uncertainty is not None
    scores = {} if truth is None else _dice(result.labels, truth, card.labels)
    with file_set(list(files.values()), overwrite=True) as names:
        if truth is not None:
            write_map(names[files["scan"]], volume)
        write_labels(names[files["segmentation"]], result.labels, card.labels)
        write_map(names[files["attention"]], result.attention)
        write_map(names[files["uncertainty"]], result.uncertainty)
        overview(volume, result.labels, card.labels, attention=result.attention, truth=truth if scores else None,
                 path=names[files["picture"]], title=f"{stem}  ·  {card.name}", slicing_axis=card.slicing_axis)
        record = files.pop("record")
        names[record].write_text(json.dumps({path.name: file_digest(names[path]) for path in files.values()}))
    if truth is not None:
        console(Message(f"Created a synthetic heart (seed {command.seed}): {files.pop('scan')}"))
    lines = [f"{card.name} on {result.place}: {sum(result.seconds.values()):.1f} s"]
    for label in card.labels:
        known = f"   Dice {scores[label.name]:.3f}" if label.name in scores else ""
        lines.append(f"  {label.name:32} {result.volumes_ml[label.value]:8.1f} mL{known}")
    if scores:
        lines.append(f"  {'mean':32} {'':11}   Dice {sum(scores.values()) / len(scores):.3f}")
    lines += [f"{name}: {path}" for name, path in files.items()]
    console.result({"files": {name: str(path) for name, path in files.items()}, "Dice": scores,
                    "volumes_ml": {label.name: result.volumes_ml[label.value] for label in card.labels},
                    "warnings": list(result.warnings)}, "\n".join(lines))


def _check_free(files: Mapping[str, Path]) -> None:
    """Whether nothing is in the way but an earlier demonstration, as it was written."""
    known = read_json(files["record"])
    for name, path in files.items():
        if name != "record" and path.exists() and (path.is_dir() or file_digest(path) != known.get(path.name)):
            raise OutputError(path, "exists, and is not an unchanged file of an earlier demo",
                              "Move it, or choose another folder with --output.")


def _scan(command: DemoCommand, folder: Path) -> tuple[Volume, Volume | None, str]:
    """The scan, its true structures where they are known, and the beginning of the results' names."""
    from kaf.imaging.volume import read_volume
    from kaf.phantom.heart import cardiac_phantom

    made = None if command.input else cardiac_phantom(command.seed)
    volume, truth = made or (read_volume(command.input, command.frame, command.series or None), None)
    stem = result_name(command.input) if command.input else f"phantom{command.seed}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"cannot be created ({error.strerror})", "Choose another folder.") from error
    return volume, truth, stem


def _dice(found: Volume, truth: Volume, labels: Sequence[Label]) -> dict[str, float]:
    """Dice of the labels that the synthetic heart has too; a model of other organs has none of them."""
    from kaf.evaluation.dice import dice

    values = {}
    for label in labels:
        known = next((value for value, words in _STRUCTURES.items() if re.search(words, label.name.lower())), 0)
        if known:
            mine, true = found.voxels == label.value, truth.voxels == known
            values[label.name] = float(dice((mine & true).sum(), mine.sum() + true.sum()))
    return values
