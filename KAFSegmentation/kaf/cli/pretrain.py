"""``kaf pretrain``: learn from unlabelled scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from pydantic_settings import CliPositionalArg

from kaf.cli.console import Console, without_result
from kaf.cli.flags import Command, parse
from kaf.settings.methods import registry
from kaf.settings.pretrain import BUDGETS, PretrainSettings, over_preset, preset_names


class PretrainCommand(Command, PretrainSettings):  # type: ignore[misc]
    """Pretrain a network on a folder of unlabelled scans; start from its weights with `kaf finetune --init-from`.

    `kaf pretrain --presets` lists ready-made settings, `kaf pretrain --methods` the methods.  --resume continues a run
    that was stopped.
    """

    data: CliPositionalArg[str] = Field(description="folder of scans; label maps in it are ignored")

    @classmethod
    def beneath(cls, arguments: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
        """The preset beneath the file, so that a flag inside nested settings leaves the preset's others."""
        flags = [argument.partition("=") for argument in arguments]
        for index, (flag, equals, value) in enumerate(flags):
            if flag == "--preset":
                given = given | {"preset": value if equals else "".join(arguments[index + 1:index + 2])}
        return over_preset(given, any(flag.removeprefix("--") in BUDGETS for flag, _, _ in flags))


def _list_presets(console: Console) -> None:
    names = preset_names()
    width = max(map(len, names))
    console.result({"presets": names}, "\n".join(f"{name:{width}}  {about}" for name, about in names.items()))


def _list_methods(console: Console) -> None:
    """Those that can be used, and why others that are registered cannot."""
    known = registry()
    infos = {name: method.info for name, method in known.methods.items()}
    width = max(map(len, infos))
    lines = [f"{name:{width}}  {info.title}: {info.description} ({info.trained})" for name, info in infos.items()]
    lines += [f"{name}: cannot be used: {reason}" for name, reason in known.broken.items()]
    console.result({"methods": {name: {"title": info.title, "description": info.description,
                                       "trains": list(info.trains)} for name, info in infos.items()},
                    "broken": known.broken}, "\n".join(lines))


def main(arguments: Sequence[str], console: Console) -> None:
    lists = {"--presets": _list_presets, "--methods": _list_methods}
    if len(arguments) == 1 and arguments[0] in lists:
        lists[arguments[0]](console)
        return
    settings: PretrainSettings = parse(PretrainCommand, arguments, "pretrain").only(PretrainSettings)
    from kaf.runtime import ranks
    from kaf.verbs.pretrain import pretrain as run

    path = run(settings, without_result(console))
    if ranks.leads():
        console.result({"model": str(path)}, f"written: {path}\n"
                       f"use it: kaf finetune FOLDER --init-from {path} --output RUN")
