"""``kaf devices``."""

from __future__ import annotations

from collections.abc import Sequence

from kaf.console import Console
from kaf.flags import Command, parse


class DevicesCommand(Command):
    """The devices that a run can use, and which one --device auto takes and why."""


def devices(arguments: Sequence[str], console: Console) -> None:
    parse(DevicesCommand, arguments, "devices")
    from kaf.devices import find_devices

    found = find_devices()
    console.result(found.to_dict(), found.text())
