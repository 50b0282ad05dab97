"""The commands that run a verb: inputs and outputs of the command line around settings and results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.cohort.case_files import report_of, result_paths, write_results
from kaf.cohort.work_queue import leads, one_voice
from kaf.evaluation.pairing import case_name
from kaf.modelfile.card import read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.modelfile.suitability import doubts
from kaf.modelfile.verdict import verdict_on
from kaf.runtime.errors import OutputError, SettingsError
from kaf.runtime.events import Message, OnEvent, Result, ignore
from kaf.runtime.file_set import file_set
from kaf.runtime.files import check_output
from kaf.settings.adapt import AdaptSettings
from kaf.settings.evaluate import EvaluateSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.segment import SegmentSettings


class SegmentCommand(Command, SegmentSettings):  # type: ignore[misc]
    """Segment a scan: a NIfTI, NRRD or MHA file, or a folder of DICOM files; or a folder of many scans.

    Writes the labels on exactly the grid of the scan, and a .json with the settings, volumes and warnings.  Of a
    folder of scans, what is done already is kept; several processes (torchrun, or the same command twice) share it.
    """

    input: CliPositionalArg[str] = Field(description="the scan: a file, or a DICOM folder; or a folder of scans")
    output: str = Field("", description="the segmentation: .seg.nrrd (Slicer), .nii.gz, .nrrd or .mha; "
                        "default: the scan's name with -seg.seg.nrrd, in this folder; or a folder, for a folder of "
                        "scans")
    suffix: str = Field(".seg.nrrd", description="of the segmentations of a folder of scans")
    picture: bool = Field(False, description="also draw a picture (.png) with outlines and attention")
    overwrite: bool = Field(False, description="replace results that exist")


def segment(arguments: Sequence[str], console: Console) -> int:
    command = parse(SegmentCommand, arguments, "segment")
    settings: SegmentSettings = command.only(SegmentSettings)
    if _is_folder_of_scans(command):
        return _segment_folder(command, settings, console)
    labels = Path(command.output) if command.output else Path(f"{case_name(command.input)}-seg.seg.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.source import stamp_of
    from kaf.imaging.volume import read_volume
    from kaf.imaging.write import check_suffix

    name_of(command.input)
    check_suffix(labels)
    outputs = result_paths(labels, settings, command.picture)
    _check([command.input], outputs.values(), command.overwrite, settings.model)
    from kaf.cohort.standing import check_beside, leftovers

    check_beside(outputs)
    stamp = stamp_of(command.input)
    volume = read_volume(command.input, command.frame, command.series or None)
    on_event = _told_before([*volume.warnings, *doubts(volume, read_card(find_model(settings.model)), settings.flips)],
                            console)
    from kaf.verbs.segment import segment as run  # torch: what is wrong or doubtful is told before it loads

    result = run(volume, settings, on_event)
    values = report_of(command.input, result, outputs, settings, stamp)
    values = write_results(volume, result, outputs, values, command.overwrite, console, leftovers(outputs))
    notice(result.card, console)
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in values["volumes_ml"].items()]
    console.result(values, "\n".join([*lines, f"written: {labels}"]))
    return 0


def _told_before(warnings: Sequence[str], console: Console) -> OnEvent:
    """Says these, and gives a console that does not say them again when the verb does."""
    told = [Message(text, "warning") for text in warnings]
    for message in told:
        console(message)
    return lambda event: None if event in told else console(event)


def _is_folder_of_scans(command: SegmentCommand) -> bool:
    """A folder in, and a folder out: the name of the output is no file's that KAF writes."""
    from kaf.imaging.write import is_writable

    return Path(command.input).is_dir() and bool(command.output) and not is_writable(command.output)


def _segment_folder(command: SegmentCommand, settings: SegmentSettings, console: Console) -> int:
    from kaf.data.folder import scan_folder
    from kaf.imaging.write import check_suffix

    check_suffix(command.suffix)
    if command.frame is not None:
        raise SettingsError("--frame", "goes with one scan", "Leave it out, or give a single scan.")
    card = read_card(find_model(settings.model))
    cases = scan_folder(command.input).cases
    from kaf.cohort.segment_folder import segment_many

    with one_voice():
        outcome = segment_many(cases, settings, Path(command.output), command.suffix, command.picture,
                               command.overwrite, console if leads() else ignore)
    if not leads():
        return 0
    notice(card, console)
    words = [f"{len(outcome.written)} of {len(cases)} scans segmented here, {len(outcome.kept)} were done "
             "before or by others"]
    words += [f"{len(outcome.failed)} cannot be used"] * bool(outcome.failed)
    console.result({"output": command.output, **vars(outcome)}, f"{', '.join(words)}: {command.output}")
    return 1 if outcome.failed else 0


def _check(inputs: Sequence[str], outputs: Iterable[Path], overwrite: bool, model: str) -> None:
    """What can be told before any work: results may be written, none is an input itself, the model exists."""
    for path in outputs:
        check_output(path, overwrite)
        if path.exists() and any(Path(file).exists() and path.samefile(file) for file in inputs):
            raise OutputError(path, "is read for this result itself", "Choose another name for the result.")
    find_model(model)



class ExplainCommand(Command, ExplainSettings):  # type: ignore[misc]
    """Show where the network looked: attention as a map on the grid of the scan and as Slicer markups."""

    input: CliPositionalArg[str] = Field(description="the scan: a file, or a DICOM folder")
    output: str = Field("", description="the map: .nrrd, .nii.gz or .mha; default: the scan's name with "
                        "-attention.nrrd, in this folder")
    markups: str = Field("", description="also write the heaviest keypoints as Slicer markups (.mrk.json)")
    top: int = Field(50, ge=1, le=10000, description="how many keypoints the markups hold")
    overwrite: bool = Field(False, description="replace results that exist")


def explain(arguments: Sequence[str], console: Console) -> None:
    command = parse(ExplainCommand, arguments, "explain")
    settings: ExplainSettings = command.only(ExplainSettings)
    output = Path(command.output or f"{case_name(command.input)}-attention.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.volume import read_volume
    from kaf.imaging.write import SEGMENTATION, check_suffix, write_map

    name_of(command.input)
    if check_suffix(output) == SEGMENTATION:
        raise OutputError(output, "a map of numbers is no segmentation", "Use .nrrd, .nii.gz or .mha.")
    outputs = [output, *([Path(command.markups)] if command.markups else [])]
    _check([command.input], outputs, command.overwrite, settings.model)
    volume = read_volume(command.input, command.frame, command.series or None)
    from kaf.verbs.explain import explain as run

    result = run(volume, settings, console)
    with file_set(outputs[::-1], command.overwrite) as names:
        write_map(names[output], result.attention)
        if command.markups:
            result.save_markups(names[Path(command.markups)], command.top)
    order = (-result.weights).argsort(kind="stable")[:5]
    points = [{"ras": result.positions[i].round(1).tolist(), "slice": int(result.slices[i]),
               "weight": round(float(result.weights[i]), 4)} for i in order]
    lines = [f"R {p['ras'][0]:.1f}  A {p['ras'][1]:.1f}  S {p['ras'][2]:.1f} mm  (slice {p['slice']}): "
             f"{100 * p['weight']:.1f} % of its slice's attention" for p in points]
    console.result({"output": str(output), "markups": command.markups or None, "keypoints": len(result.weights),
                    "heaviest": points, "warnings": list(result.warnings), "settings": settings.model_dump()},
                   "\n".join(["most attended keypoints:", *lines, f"written: {output}"]))


class AdaptCommand(Command, AdaptSettings):  # type: ignore[misc]
    """Learn from a few finished slices of one scan and segment the rest of it.

    The finished slices stay exactly as they were drawn; the model that was started from stays as it is.
    """

    input: CliPositionalArg[str] = Field(description="the scan: a file, or a DICOM folder")
    drawn: CliPositionalArg[str] = Field(description="labels on the grid of the scan, right in the finished slices")
    output: str = Field("", description="the segmentation; default: the scan's name with -adapted.seg.nrrd")
    save_model: str = Field("", description="also keep the adapted model (.safetensors)")
    overwrite: bool = Field(False, description="replace results that exist")


def adapt(arguments: Sequence[str], console: Console) -> None:
    command = parse(AdaptCommand, arguments, "adapt")
    settings: AdaptSettings = command.only(AdaptSettings)
    output = Path(command.output or f"{case_name(command.input)}-adapted.seg.nrrd")
    from kaf.imaging.itk import name_of
    from kaf.imaging.volume import read_labels, read_volume
    from kaf.imaging.write import check_suffix, write_labels

    name_of(command.input)
    check_suffix(output)
    outputs = [output, *([Path(command.save_model)] if command.save_model else [])]
    _check([command.input, command.drawn], outputs, command.overwrite, settings.model)
    volume, drawn = read_volume(command.input, command.frame, command.series or None), read_labels(command.drawn)
    from kaf.verbs.adapt import adapt as run

    result = run(volume, drawn, settings, console)
    with file_set(outputs[::-1], command.overwrite) as names:
        write_labels(names[output], result.segmentation.labels, result.card.labels)
        if command.save_model:
            result.save(names[Path(command.save_model)])
    notice(read_card(find_model(settings.model)), console)
    volumes = {result.card.label_names[value]: round(ml, 3) for value, ml in result.segmentation.volumes_ml.items()}
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in volumes.items()]
    review = ", ".join(map(str, result.review[:3])) or "none"
    console.result({"output": str(output), "model": command.save_model or None, "volumes_ml": volumes,
                    "finished": list(result.finished), "review": list(result.review),
                    "settings": settings.model_dump()},
                   "\n".join([*lines, f"slices to check next: {review}", f"written: {output}"]))


class FinetuneCommand(Command, FinetuneSettings):  # type: ignore[misc]
    """Train a model on a folder of labelled scans; one command, one model file.

    A run that was stopped goes on with --resume.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans and label maps")


def finetune(arguments: Sequence[str], console: Console) -> None:
    settings: FinetuneSettings = parse(FinetuneCommand, arguments, "finetune").only(FinetuneSettings)
    if settings.init_from:  # before the hours of training
        notice(read_card(find_model(settings.init_from)), console)
    from kaf.verbs.finetune import finetune as run

    path = run(settings, _without_result(console))
    verdict = verdict_on(read_card(path))
    assert verdict is not None
    code, accept = ("passed", "") if verdict.passed else ("not shown to be worth more than nothing", " --accept")
    console.result({"model": str(path), "verdict": verdict.to_dict()},
                   f"written: {path}\nchecked: {code}: {verdict.reason()}\nuse it: kaf segment SCAN --model {path}\n"
                   f"keep it in your library: kaf models add {path}{accept}")


class EvaluateCommand(Command, EvaluateSettings):  # type: ignore[misc]
    """Compare segmentations with references: Dice, surface distances, volumes; a table and a report."""

    prediction: CliPositionalArg[str] = Field(description="a segmentation, or a folder of them")
    reference: CliPositionalArg[str] = Field(description="the reference, or a folder of them")
    output: str = Field("evaluation", description="folder for the table, the numbers and the report")


def evaluate(arguments: Sequence[str], console: Console) -> None:
    command = parse(EvaluateCommand, arguments, "evaluate")
    settings = EvaluateSettings(**{name: getattr(command, name) for name in EvaluateSettings.model_fields})
    from kaf.verbs.evaluate import evaluate as run
    from kaf.verbs.evaluate import score_cases

    with one_voice():
        if not leads():  # of the processes of torchrun the first one puts the table together
            score_cases(settings)
            return
        overview = run(settings, _without_result(console)).overview()
    dice, pooled = ("undefined" if value is None else f"{value:.3f}" for value in
                    (overview["dice"], overview["pooled_dice"]))
    console.result(overview, f"mean Dice {dice} over {overview['cases']} cases (pooled {pooled})\n"
                   f"report: {overview['report']}")


def _without_result(console: Console) -> OnEvent:
    """The console for a verb that sends its own result: the command sends the last one."""
    return lambda event: None if isinstance(event, Result) else console(event)


def worker(arguments: Sequence[str], console: Console) -> None:
    """The resident process; it speaks JSON lines on its own pipes."""
    from kaf.worker.process import main

    main(arguments)
