"""The commands that run a verb: inputs and outputs of the command line around settings and results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.card import read_card
from kaf.console import Console
from kaf.errors import OutputError
from kaf.events import OnEvent, Picture, Result
from kaf.files import atomic_write, check_output
from kaf.flags import Command, parse
from kaf.library import find_model
from kaf.pairs import case_name
from kaf.settings import AdaptSettings, EvaluateSettings, ExplainSettings, FinetuneSettings, SegmentSettings
from kaf.weights_notice import notice


class SegmentCommand(Command, SegmentSettings):  # type: ignore[misc]
    """Segment a scan: a NIfTI, NRRD or MHA file, or a folder of DICOM files.

    Writes the labels on exactly the grid of the scan, and a .json with the settings, volumes and warnings.
    """

    input: CliPositionalArg[str] = Field(description="the scan: a file, or a DICOM folder")
    output: str = Field("", description="the segmentation: .seg.nrrd (Slicer), .nii.gz, .nrrd or .mha; "
                        "default: the scan's name with -seg.seg.nrrd, in this folder")
    frame: int | None = Field(None, ge=0, description="which frame of a 4-D scan")
    picture: bool = Field(False, description="also draw a picture (.png) with outlines and attention")
    overwrite: bool = Field(False, description="replace results that exist")


def segment(arguments: Sequence[str], console: Console) -> None:
    command = parse(SegmentCommand, arguments, "segment")
    settings: SegmentSettings = command.only(SegmentSettings)
    outputs = _outputs(command)
    from kaf.volume import read_volume
    from kaf.volume_write import check_suffix, write_labels, write_map

    check_suffix(outputs["labels"])
    _check([command.input], outputs.values(), command.overwrite, settings.model)
    volume = read_volume(command.input, frame=command.frame)
    from kaf.segment import segment as run  # torch: what is wrong with the files is told before it loads

    result = run(volume, settings, console)
    volumes = {result.card.label_names[value]: round(ml, 3) for value, ml in result.volumes_ml.items()}
    values = {
        "input": command.input, "outputs": {name: str(path) for name, path in outputs.items()},
        "model": result.card.name, "model_digest": result.card.digest, "settings": settings.model_dump(),
        "volumes_ml": volumes,
        "warnings": list(result.warnings), "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
        "place": result.place,
    }
    with _together(outputs.values()):
        write_labels(outputs["labels"], result.labels, result.card.labels, command.overwrite)
        for name, made in (("attention", result.attention), ("uncertainty", result.uncertainty)):
            if made is not None:
                write_map(outputs[name], made, command.overwrite)
        if command.picture:
            from kaf.picture import overview

            overview(volume, result.labels, result.card.labels, attention=result.attention,
                     uncertainty=result.uncertainty, path=outputs["picture"],
                     title=f"{Path(command.input).name}  ·  {result.card.name}",
                     slicing_axis=result.card.slicing_axis)
            console(Picture("picture", str(outputs["picture"])))
        atomic_write(outputs["report"], json.dumps(values, indent=1) + "\n", command.overwrite)
    notice(result.card, console)
    lines = [f"{name}: {millilitres:.1f} mL" for name, millilitres in volumes.items()]
    console.result(values, "\n".join([*lines, f"written: {outputs['labels']}"]))


def _check(inputs: Sequence[str], outputs: Iterable[Path], overwrite: bool, model: str) -> None:
    """What can be told before any work: results may be written, none is an input itself, the model exists."""
    for path in outputs:
        check_output(path, overwrite)
        if path.exists() and any(Path(file).exists() and path.samefile(file) for file in inputs):
            raise OutputError(path, "is read for this result itself", "Choose another name for the result.")
    find_model(model)


@contextmanager
def _together(outputs: Iterable[Path]) -> Iterator[None]:
    """All results or none: those that a failed or stopped command has made new are removed."""
    new = [path for path in outputs if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _outputs(command: SegmentCommand) -> dict[str, Path]:
    """The files that this command will write."""
    labels = Path(command.output) if command.output else Path(f"{case_name(command.input)}-seg.seg.nrrd")
    stem = labels.with_name(case_name(labels))
    outputs = {"labels": labels, "report": Path(f"{stem}-seg.json")}
    if command.attention:
        outputs["attention"] = Path(f"{stem}-attention.nrrd")
    if command.uncertainty:
        outputs["uncertainty"] = Path(f"{stem}-uncertainty.nrrd")
    if command.picture:
        outputs["picture"] = Path(f"{stem}-overview.png")
    return outputs


class ExplainCommand(Command, ExplainSettings):  # type: ignore[misc]
    """Show where the network looked: attention as a map on the grid of the scan and as Slicer markups."""

    input: CliPositionalArg[str] = Field(description="the scan: a file, or a DICOM folder")
    output: str = Field("", description="the map: .nrrd, .nii.gz or .mha; default: the scan's name with "
                        "-attention.nrrd, in this folder")
    markups: str = Field("", description="also write the heaviest keypoints as Slicer markups (.mrk.json)")
    top: int = Field(50, ge=1, le=10000, description="how many keypoints the markups hold")
    frame: int | None = Field(None, ge=0, description="which frame of a 4-D scan")
    overwrite: bool = Field(False, description="replace results that exist")


def explain(arguments: Sequence[str], console: Console) -> None:
    command = parse(ExplainCommand, arguments, "explain")
    settings: ExplainSettings = command.only(ExplainSettings)
    output = Path(command.output or f"{case_name(command.input)}-attention.nrrd")
    from kaf.volume import read_volume
    from kaf.volume_write import SEGMENTATION, check_suffix, write_map

    if check_suffix(output) == SEGMENTATION:
        raise OutputError(output, "a map of numbers is no segmentation", "Use .nrrd, .nii.gz or .mha.")
    outputs = [output, *([Path(command.markups)] if command.markups else [])]
    _check([command.input], outputs, command.overwrite, settings.model)
    volume = read_volume(command.input, frame=command.frame)
    from kaf.explain import explain as run

    result = run(volume, settings, console)
    with _together(outputs):
        write_map(output, result.attention, command.overwrite)
        if command.markups:
            result.save_markups(command.markups, command.top, command.overwrite)
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
    frame: int | None = Field(None, ge=0, description="which frame of a 4-D scan")
    overwrite: bool = Field(False, description="replace results that exist")


def adapt(arguments: Sequence[str], console: Console) -> None:
    command = parse(AdaptCommand, arguments, "adapt")
    settings: AdaptSettings = command.only(AdaptSettings)
    output = Path(command.output or f"{case_name(command.input)}-adapted.seg.nrrd")
    from kaf.volume import read_labels, read_volume
    from kaf.volume_write import check_suffix, write_labels

    check_suffix(output)
    outputs = [output, *([Path(command.save_model)] if command.save_model else [])]
    _check([command.input, command.drawn], outputs, command.overwrite, settings.model)
    volume, drawn = read_volume(command.input, frame=command.frame), read_labels(command.drawn)
    from kaf.adapt import adapt as run

    result = run(volume, drawn, settings, console)
    with _together(outputs):
        write_labels(output, result.segmentation.labels, result.card.labels, command.overwrite)
        if command.save_model:
            result.save(Path(command.save_model), command.overwrite)
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
    from kaf.finetune import finetune as run

    path = run(settings, _without_result(console))
    console.result({"model": str(path)}, f"written: {path}\nuse it: kaf segment SCAN --model {path}\n"
                   f"keep it in your library: kaf models add {path}")


class EvaluateCommand(Command, EvaluateSettings):  # type: ignore[misc]
    """Compare segmentations with references: Dice, surface distances, volumes; a table and a report."""

    prediction: CliPositionalArg[str] = Field(description="a segmentation, or a folder of them")
    reference: CliPositionalArg[str] = Field(description="the reference, or a folder of them")
    output: str = Field("evaluation", description="folder for the table, the numbers and the report")


def evaluate(arguments: Sequence[str], console: Console) -> None:
    command = parse(EvaluateCommand, arguments, "evaluate")
    settings = EvaluateSettings(**{name: getattr(command, name) for name in EvaluateSettings.model_fields})
    from kaf.evaluate import evaluate as run

    overview = run(settings, _without_result(console)).overview()
    console.result(overview, f"mean Dice {overview['dice']:.3f} over {overview['cases']} cases (pooled "
                   f"{overview['pooled_dice']:.3f})\nreport: {overview['report']}")


def _without_result(console: Console) -> OnEvent:
    """The console for a verb that sends its own result: the command sends the last one."""
    return lambda event: None if isinstance(event, Result) else console(event)


def worker(arguments: Sequence[str], console: Console) -> None:
    """The resident process; it speaks JSON lines on its own pipes."""
    from kaf.worker import main

    main(arguments)
