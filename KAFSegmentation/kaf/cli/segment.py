"""``kaf segment``: a scan, or a folder of scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.checks import check_paths
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.cohort.case_files import report_of, result_paths, write_results
from kaf.cohort.work_queue import leads, one_voice
from kaf.cohort.worst_first import OVERVIEW
from kaf.imaging.file_names import result_name
from kaf.modelfile.card import Card, read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.modelfile.suitability import doubts
from kaf.quality.verdict import words_of
from kaf.runtime.errors import OutputError, SettingsError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.files import check_regular
from kaf.settings.segment import SegmentSettings

_FIRST = 3  # cases that are named


class SegmentCommand(Command, SegmentSettings):  # type: ignore[misc]
    """Segment a scan (a NIfTI, NRRD or MHA file, or a folder of DICOM files), or a folder of scans.

    For a model that sees several channels give one scan for each, in the order of the model or by name: kaf segment
    T2=t2.nii.gz ADC=adc.nii.gz --model prostate.

    The segmentation is written on the grid of the scan, with a .json file of settings, volumes and warnings beside
    it.  For a folder of scans, finished results are kept, and several processes (torchrun, or the same command run
    twice) share the work.
    """

    input: CliPositionalArg[str] = Field(description="scan: a file or a DICOM folder; or a folder of scans")
    output: str = Field("", description="segmentation to write: .seg.nrrd (Slicer), .nii.gz, .nrrd or .mha; default: "
                                        "the scan's name with -seg.seg.nrrd, in the current folder. For a folder of "
                                        "scans: the output folder")
    suffix: str = Field(".seg.nrrd", description="file name ending of the segmentations of a folder of scans")
    picture: bool = Field(False, description="also write a picture (.png) with outlines and attention")
    overwrite: bool = Field(False, description="replace existing results")


def main(arguments: Sequence[str], console: Console) -> int:
    count = next((n for n, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    inputs, flags = list(arguments[:count]), arguments[count:]
    command = parse(SegmentCommand, [*inputs[:1], *flags], "segment")
    settings: SegmentSettings = command.only(SegmentSettings)
    if len(inputs) > 1 or "=" in command.input:
        inputs = in_order(inputs or [command.input], read_card(find_model(settings.model)))
        command = command.model_copy(update={"input": inputs[0]})
    if len(inputs) < 2 and _is_folder_of_scans(command):
        return _segment_folder(command, settings, console)
    others = inputs[1:]
    labels = Path(command.output) if command.output else Path(f"{result_name(command.input)}-seg.seg.nrrd")
    from kaf.imaging.channels import with_channels
    from kaf.imaging.itk import name_of
    from kaf.imaging.source import stamp_of
    from kaf.imaging.volume import read_volume
    from kaf.imaging.write import check_suffix, is_writable

    for path in (command.input, *others):
        name_of(path)
    if not labels.suffix and not is_writable(labels):  # a folder's name, so that a folder of scans was meant
        check_regular(command.input)
        raise OutputError(labels, f"is no file name that KAF writes, and {command.input} is no folder of scans",
                          "Name a file, as heart.seg.nrrd, or give a folder of scans.")
    check_suffix(labels)
    outputs = result_paths(labels, settings, command.picture)
    check_paths([command.input, *others], outputs.values(), command.overwrite, settings.model)
    from kaf.cohort.standing import check_beside, leftovers

    check_beside(outputs)
    stamp, more = stamp_of(command.input), [stamp_of(path) for path in others]
    volume = read_volume(command.input, command.frame, command.series or None)
    volume = with_channels([volume, *map(read_volume, others)]) if others else volume
    on_event = _told_before([*volume.warnings, *doubts(volume, read_card(find_model(settings.model)), settings.flips)],
                            console)
    from kaf.verbs.segment import segment as run  # torch: what is wrong or doubtful is reported before it loads

    result = run(volume, settings, on_event)
    values = report_of(command.input, result, outputs, settings, stamp, more)
    values = write_results(volume, result, outputs, values, command.overwrite, console, leftovers(outputs))
    notice(result.card, console)
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in values["volumes_ml"].items()]
    if (quality := result.quality) is not None:
        lines += [f"{name}: {words_of(found)}" for name, found in quality.structures.items()]
        lines += [quality.sentence]
    console.result(values, "\n".join([*lines, f"written: {labels}"]))
    return 0


def in_order(inputs: Sequence[str], card: Card) -> list[str]:
    """The scans in the order of the channels of a model; those of names (``T2=t2.nii.gz``) go to their places.

    Raises:
        SettingsError: some scans have names and others have none, a name is none of the model's, or twice.
    """
    numbers = {name.casefold(): number for number, name in enumerate(card.channel_names)}
    named = {}
    for text in inputs:
        name, equals, path = text.partition("=")
        if equals and not Path(text).exists():
            named[name.strip().casefold()] = path
    if not named:
        return list(inputs)
    known = ", ".join(card.channel_names) or "none: it sees a single channel"
    if unknown := [name for name in named if name not in numbers]:
        raise SettingsError(f"{unknown[0]}=", f"is no channel of {card.name} (its channels: {known})",
                            "Name the scans after the channels of the model.")
    if len(named) != len(inputs) or len(named) != len(numbers):
        raise SettingsError("kaf segment", f"needs one scan for each channel of {card.name}: {known}",
                            "Name each scan once, or none of them.")
    return [named[name] for name in sorted(named, key=lambda name: numbers[name])]


def _told_before(warnings: Sequence[str], console: Console) -> OnEvent:
    """Shows these warnings, and returns a watcher that does not show them again when the verb sends them."""
    reported = [Message(text, "warning") for text in warnings]
    for message in reported:
        console(message)
    return lambda event: None if event in reported else console(event)


def _is_folder_of_scans(command: SegmentCommand) -> bool:
    """A folder in, and a folder out: the name of the output is no file's that KAF writes."""
    from kaf.imaging.write import is_writable

    return Path(command.input).is_dir() and bool(command.output) and not is_writable(command.output)


def _segment_folder(command: SegmentCommand, settings: SegmentSettings, console: Console) -> int:
    from kaf.data.folder import scan_folder
    from kaf.imaging.write import check_suffix

    check_suffix(command.suffix)
    if command.frame is not None:
        raise SettingsError("--frame", "is for a single scan, and INPUT is a folder of scans",
                            "Leave it out, or give one scan.")
    card = read_card(find_model(settings.model))
    cases = scan_folder(command.input).every
    from kaf.verbs.segment_folder import segment_folder

    with one_voice():
        outcome = segment_folder(cases, settings, Path(command.output), command.suffix, command.picture,
                                 command.overwrite, console if leads() else ignore)
    if not leads():
        return 0
    notice(card, console)
    words = [f"{len(outcome.written)} of {len(cases)} scans segmented, {len(outcome.kept)} finished before or by "
             "another process"]
    words += [f"{len(outcome.failed)} could not be used"] * bool(outcome.failed)
    if outcome.order and (Path(command.output) / OVERVIEW).is_file():
        words[-1] += f"; look first at {', '.join(outcome.order[:_FIRST])} ({OVERVIEW} has the order)"
    console.result({"output": command.output, **vars(outcome)}, f"{', '.join(words)}: {command.output}")
    return 1 if outcome.failed else 0
