"""``kaf finetune``: train a model on labelled scans."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.modelfile.card import read_card
from kaf.modelfile.library import find_model
from kaf.modelfile.licences import notice
from kaf.modelfile.verdict import verdict_on
from kaf.settings.finetune import FinetuneSettings


class FinetuneCommand(Command, FinetuneSettings):  # type: ignore[misc]
    """Train a model on a folder of labelled scans.

    --resume continues a run that was stopped.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans and label maps")


def main(arguments: Sequence[str], console: Console) -> None:
    settings: FinetuneSettings = parse(FinetuneCommand, arguments, "finetune").only(FinetuneSettings)
    if settings.init_from:  # before the hours of training
        notice(read_card(find_model(settings.init_from)), console)
    from kaf.runtime import ranks
    from kaf.verbs.finetune import finetune as run

    path = run(settings, without_result(console))
    if not ranks.leads():
        return
    verdict = verdict_on(read_card(path))
    assert verdict is not None
    state, accept = ("passed", "") if verdict.passed else ("not passed", " --accept")
    console.result({"model": str(path), "verdict": verdict.to_dict()},
                   f"written: {path}\nquality check: {state} ({verdict.reason()})\n"
                   f"use it: kaf segment SCAN --model {path}\n"
                   f"keep it in your library: kaf models add {path}{accept}")
