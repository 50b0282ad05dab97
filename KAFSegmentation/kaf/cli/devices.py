"""``kaf devices``: what a run can use."""

from __future__ import annotations

from collections.abc import Sequence

from kaf.cli.console import Console
from kaf.cli.flags import Command, parse
from kaf.settings.run import RunSettings


class DevicesCommand(Command):
    """List the devices that a run can use, and which one --device auto chooses and why."""


def main(arguments: Sequence[str], console: Console) -> None:
    parse(DevicesCommand, arguments, "devices")
    from kaf.runtime.device_list import find_devices

    found = find_devices(RunSettings())
    console.result(found.to_dict(), found.text())
