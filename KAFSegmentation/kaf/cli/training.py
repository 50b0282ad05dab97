"""The commands that learn from unlabelled scans, and the experiment that shows whether it helped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.runtime.events import Result
from kaf.settings.compare import CompareSettings
from kaf.settings.pretrain import BUDGETS, PretrainSettings, over_preset, preset_names


class PretrainCommand(Command, PretrainSettings):  # type: ignore[misc]
    """Learn from a folder of unlabelled scans; the weights are where `kaf finetune --init-from` starts.

    `kaf pretrain --presets` lists ready-made settings.  A run that was stopped goes on with --resume.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans; labels in it are not looked at")

    @classmethod
    def beneath(cls, arguments: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
        """The preset beneath the file, so that a flag inside nested settings leaves the preset's others."""
        flags = [argument.partition("=") for argument in arguments]
        for index, (flag, equals, value) in enumerate(flags):
            if flag == "--preset":
                given = given | {"preset": value if equals else "".join(arguments[index + 1:index + 2])}
        return over_preset(given, any(flag.removeprefix("--") in BUDGETS for flag, _, _ in flags))


def pretrain(arguments: Sequence[str], console: Console) -> None:
    if list(arguments) == ["--presets"]:
        names = preset_names()
        width = max(map(len, names))
        console.result({"presets": names}, "\n".join(f"{name:{width}}  {about}" for name, about in names.items()))
        return
    settings: PretrainSettings = parse(PretrainCommand, arguments, "pretrain").only(PretrainSettings)
    from kaf.runtime import ranks
    from kaf.verbs.pretrain import pretrain as run

    path = run(settings, lambda event: None if isinstance(event, Result) else console(event))
    if ranks.leads():
        console.result({"model": str(path)}, f"written: {path}\n"
                       f"use it: kaf finetune FOLDER --init-from {path} --output RUN")


class CompareCommand(Command, CompareSettings):  # type: ignore[misc]
    """A few-shot experiment: every arm on the same patients, with paired statistics, a table and a chart.

    Run it again to go on where it stopped; several processes may run it at once.
    """

    data: CliPositionalArg[str] = Field(description="folder of labelled scans")


def compare(arguments: Sequence[str], console: Console) -> None:
    settings: CompareSettings = parse(CompareCommand, arguments, "compare").only(CompareSettings)
    from kaf.experiments.compare import compare as run

    table = run(settings, lambda event: None if isinstance(event, Result) else console(event))
    lines = [f"M = {row['few_shot']:2}  {row['arm']:24} Dice {row['dice']['mean']:.3f}  pooled "
             f"{row['pooled']['mean']:.3f}  ({row['dice']['n']} networks)" for row in table["rows"]]
    console.result({**table, "report": f"{settings.output}/comparison.html"},
                   "\n".join([*lines, f"report: {settings.output}/comparison.html"]))
