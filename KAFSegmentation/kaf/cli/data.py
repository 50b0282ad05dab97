"""``kaf data``: say what a folder of scans holds, write it in another layout, and make an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.actions import run_action
from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.data.folder import Dataset
from kaf.runtime.errors import KafError


class ScanCommand(Command):
    """Check a folder of scans: cases, patients, labels, spacings, problems."""

    folder: CliPositionalArg[str] = Field(description="folder of scans")


class ExampleCommand(Command):
    """Create an example folder of synthetic hearts, some of them labelled."""

    folder: CliPositionalArg[str] = Field(description="new or empty folder")
    cases: int = Field(16, ge=2, le=1000, description="number of scans")
    labelled: int = Field(10, ge=0, le=1000, description="number of scans that have a label map")


class ConvertCommand(Command):
    """Write the cases of a folder in the layout of nnU-Net (raw data) or of KAF.

    Every layout that `kaf data scan` understands is read.  Files are copied, or written as .nii.gz without loss; names
    of structures, test scans and splits go along.  Nothing is overwritten.
    """

    folder: CliPositionalArg[str] = Field(description="folder of scans")
    to: Literal["nnunet", "kaf"] = Field(description="layout to write")
    output: str = Field(description="new or empty folder")


def main(arguments: Sequence[str], console: Console) -> None:
    run_action("data", {"scan": _scan, "convert": _convert, "example": _example}, arguments, console)


def _scan(arguments: Sequence[str], console: Console) -> None:
    folder = parse(ScanCommand, arguments, "data scan").folder
    from kaf.data.annotation import scan_labelled
    from kaf.data.inspect import inspect_dataset

    dataset = scan_labelled(folder, on_event=console)
    inspection = inspect_dataset(dataset, console)
    plan = _plan(folder, dataset, console)
    console.result({**inspection.to_dict(), **({"plan": plan} if plan else {})},
                   inspection.text() + (f"\n{plan} This is what kaf finetune does by default." if plan else ""))


def _plan(folder: str, dataset: Dataset, console: Console) -> str:
    """What fine-tuning on the labelled cases would do by default; nothing where it would refuse them."""
    from kaf.data.plan import make_plan
    from kaf.data.plan_text import plan_text
    from kaf.settings.finetune import FinetuneSettings

    try:
        return plan_text(make_plan(dataset.labelled, FinetuneSettings(data=folder, output=folder), console)
                         ) if dataset.labelled else ""
    except KafError:
        return ""


def _convert(arguments: Sequence[str], console: Console) -> None:
    command = parse(ConvertCommand, arguments, "data convert")
    from kaf.data.convert import convert

    converted = convert(command.folder, command.to, command.output, console)
    values = {**vars(converted), "folder": str(converted.folder),
              "label_names": {str(value): name for value, name in converted.label_names.items()}}
    text = converted.text()
    if command.to == "nnunet":
        text += ("\nuse it: move the folder to nnUNet_raw as Dataset<three digits>_<name>"
                 + ("; nnU-Net looks for the splits in the folder of the same name in nnUNet_preprocessed"
                    if converted.splits else ""))
    console.result(values, text)


def _example(arguments: Sequence[str], console: Console) -> None:
    command = parse(ExampleCommand, arguments, "data example")
    from kaf.data.example import make_example

    folder = make_example(command.folder, command.cases, command.labelled, on_event=console)
    console.result({"folder": str(folder)}, f"written: {folder} ({command.cases} synthetic hearts)\n"
                   f"check it: kaf data scan {folder}")
