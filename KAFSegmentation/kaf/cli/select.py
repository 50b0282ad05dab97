"""``kaf select``: which cases to label first."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.settings.select import SelectSettings


class SelectCommand(Command, SelectSettings):  # type: ignore[misc]
    """Choose which scans to label first: kaf select FOLDER --model WEIGHTS.

    With pretrained weights: diverse scans, so that few represent all.  With a model that segments: the unlabelled
    scans that it is least certain about.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans")


def main(arguments: Sequence[str], console: Console) -> None:
    settings: SelectSettings = parse(SelectCommand, arguments, "select").only(SelectSettings)
    from kaf.verbs.select import TABLE
    from kaf.verbs.select import select as run

    selection = run(settings, without_result(console))
    lines = [f"{choice.rank:3}  {choice.case}: {choice.reason}" for choice in selection.choices]
    for index, slices in enumerate(selection.slices):
        lines[index] += f"; slices {', '.join(map(str, slices))}"
    table = f"{settings.output}/{TABLE}"
    console.result({**selection.to_dict(), "table": table},
                   "\n".join([f"of {selection.candidates} patients, to be labelled first (by {selection.by}):", *lines,
                              f"written: {table}"]))
