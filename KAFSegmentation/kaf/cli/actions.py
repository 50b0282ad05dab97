"""A command with actions of its own: ``kaf models list``, ``kaf data scan``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kaf.cli.console import Console
from kaf.runtime.errors import SettingsError


def run_action(name: str, actions: Mapping[str, Callable[[Sequence[str], Console], None]], arguments: Sequence[str],
               console: Console) -> None:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: kaf {name} {{{','.join(actions)}}} ...\n\n"
              f"kaf {name} ACTION --help lists the options of an action")
        return
    if not arguments or arguments[0] not in actions:
        raise SettingsError(f"kaf {name}", f"needs one of: {', '.join(actions)}", f"See `kaf {name} --help`.")
    actions[arguments[0]](arguments[1:], console)
