"""``kaf models``: list, show, add, export and remove models of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.actions import run_action
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.modelfile.card import Card, read_card
from kaf.modelfile.library import add_model, export_model, find_model, list_models, refused_models, remove_model
from kaf.quality.store import quality_of, users_file, write_quality
from kaf.runtime.download import Limits
from kaf.runtime.files import check_output
from kaf.runtime.plain_text import one_line
from kaf.settings.calibrate import CalibrateSettings


class ListCommand(Command):
    """List the models of the library."""


class ShowCommand(Command):
    """Show the card of a model."""

    name: CliPositionalArg[str] = Field(description="name of a model in the library, or a .safetensors file")


class AddCommand(Command):
    """Add a model file to the library, or download one."""

    source: CliPositionalArg[str] = Field(description=".safetensors file, or an http(s) address")
    name: str = Field("", description="name in the library; default: the name on the model card")
    digest: str = Field("", description="SHA-256 of the file; required for a download")
    overwrite: bool = Field(False, description="replace a model of this name that you added earlier")
    accept: bool = Field(False, description="also add a model that did not beat the baseline on its validation cases")
    megabytes: float = Field(Limits.megabytes, gt=0, le=1e6, description="largest download in MB")
    minutes: float = Field(Limits.minutes, gt=0, le=1e4, description="time limit of a download in minutes")


class CalibrateCommand(Command, CalibrateSettings):  # type: ignore[misc]
    """Calibrate the predicted Dice of a model on labelled cases that it was not trained on.

    The result is kept among your own files and used whenever the model segments; the model file is not changed.
    """

    model: CliPositionalArg[str] = Field(description="name of a model in the library, or a .safetensors file")
    data: CliPositionalArg[str] = Field(description="folder of labelled cases that the model was not trained on")
    output: str = Field("", description="file to write instead: NAME.quality.json beside NAME.safetensors is found "
                                        "there")
    overwrite: bool = Field(False, description="replace an existing calibration")


class ExportCommand(Command):
    """Copy a model of the library to a file."""

    name: CliPositionalArg[str] = Field(description="name of a model in the library")
    target: CliPositionalArg[str] = Field(description="file or folder to copy it to")
    overwrite: bool = Field(False, description="replace an existing file")


class RemoveCommand(Command):
    """Remove a model that you added."""

    name: CliPositionalArg[str] = Field(description="name of a model in the library")


def main(arguments: Sequence[str], console: Console) -> None:
    actions = {"list": _list, "show": _show, "add": _add, "calibrate": _calibrate, "export": _export,
               "remove": _remove}
    run_action("models", actions, arguments, console)


def _list(arguments: Sequence[str], console: Console) -> None:
    parse(ListCommand, arguments, "models list")
    entries = list_models()
    refused = refused_models()
    lines = [one_line(f"{e.name:24} {e.card.modality:4} {', '.join(e.card.label_names.values())}"
                      + ("" if e.bundled else "   (added by you)")) for e in entries]
    lines += [one_line(f"{name:24} cannot be used: see `kaf models show {name}`") for name in refused]
    console.result({"models": [{"name": e.name, "path": str(e.path), "bundled": e.bundled, "modality": e.card.modality,
                                "labels": e.card.label_names} for e in entries],
                    "refused": {name: str(error) for name, error in refused.items()}},
                   "\n".join(lines) or "no models; add one: kaf models add FILE")


def _show(arguments: Sequence[str], console: Console) -> None:
    path = find_model(parse(ShowCommand, arguments, "models show").name)
    card = read_card(path)
    card = replace(card, quality=quality_of(path, card))
    console.result(card.to_dict(), card_text(card))


def quality_lines(card: Card) -> list[str]:
    """What the card knows of predicted quality, a line each."""
    lines, names = card.quality.get("lines", []), card.label_names
    if not lines:
        return ["predicted Dice is not calibrated; see `kaf models calibrate --help`"]
    return [f"predicted Dice calibrated on {card.quality.get('source') or 'cases that are not named'}",
            *(f"{names.get(line['label'], line['label'])}: {line['cases']} cases of {line['patients']} patients, " +
              ("too few for a lower bound" if line["margin"] is None else
               f"lower bound ({100 * line['level']:.0f} %) {line['margin']:.3f} below") for line in lines)]


def card_text(card: Card) -> str:
    """A model card as a person reads it."""
    lines = [f"{card.name}, version {card.version}", card.description, "",
             f"segments:      {', '.join(f'{v} {n}' for v, n in card.label_names.items())}",
             f"made for:      {card.modality}, slices {card.slice_spacing:g} mm apart ({card.slicing_axis}), "
             f"resampled to {card.spacing:g} mm",
             f"trained on:    {card.training_data or 'unspecified'}",
             f"licence:       {card.weights_licence} (weights)",
             f"weights:       SHA-256 {card.digest}",
             f"made with:     KAF {card.code_version}, seed {card.seed}"]
    lines += [f"quality:       {line}" for line in quality_lines(card)]
    for name, value in card.metrics.items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [f"  {key}: {item}" for key, item in value.items()]
        else:
            lines.append(f"{name}: {value}")
    return "\n".join(line[:len(line) - len(line.lstrip(" "))] + one_line(line) for line in lines)


def _add(arguments: Sequence[str], console: Console) -> None:
    command = parse(AddCommand, arguments, "models add")
    entry = add_model(command.source, command.name, command.digest, overwrite=command.overwrite,
                      limits=Limits(command.megabytes, command.minutes), accept=command.accept)
    console.result({"name": entry.name, "path": str(entry.path)}, f"added {entry.name} ({entry.card.weights_licence})")


def _calibrate(arguments: Sequence[str], console: Console) -> None:
    command = parse(CalibrateCommand, arguments, "models calibrate")
    settings: CalibrateSettings = command.only(CalibrateSettings)
    target = Path(command.output) if command.output else users_file(read_card(find_model(settings.model)))
    check_output(target, command.overwrite)
    from kaf.verbs.calibrate import calibrate

    made = calibrate(settings, console)
    write_quality(target, made.card, made.quality, command.overwrite)
    card = replace(made.card, quality=made.quality)
    console.result({"path": str(target), "model": card.name, **{key: made.quality[key] for key in (
        "source", "lines", "usual_distance")}}, "\n".join([*quality_lines(card), f"written: {target}"]))


def _export(arguments: Sequence[str], console: Console) -> None:
    command = parse(ExportCommand, arguments, "models export")
    path = export_model(command.name, Path(command.target), overwrite=command.overwrite)
    console.result({"path": str(path)}, f"written: {path}")


def _remove(arguments: Sequence[str], console: Console) -> None:
    name = parse(RemoveCommand, arguments, "models remove").name
    remove_model(name)
    console.result({"name": name}, f"removed {name}")
