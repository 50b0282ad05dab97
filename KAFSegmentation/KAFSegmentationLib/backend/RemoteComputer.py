"""The other computer that models may run on, as this computer remembers it: never in a scene, which travels."""

from __future__ import annotations

import qt

from kaf.worker.client import Remote

_CHOSEN = "KAFSegmentation/Remote/Chosen"
_HOST = "KAFSegmentation/Remote/Host"
_COMMAND = "KAFSegmentation/Remote/Command"
_DEFAULT = "kaf"


def isRemoteChosen() -> bool:
    """Whether models run on another computer."""
    return str(qt.QSettings().value(_CHOSEN, "") or "") == "yes"


def chooseRemote(chosen: bool) -> None:
    """Whether models are to run on another computer."""
    qt.QSettings().setValue(_CHOSEN, "yes" if chosen else "")


def remembered() -> Remote:
    """The computer that was entered last; its host is empty where none was."""
    settings = qt.QSettings()
    return Remote(str(settings.value(_HOST, "") or ""), str(settings.value(_COMMAND, "") or _DEFAULT))


def remember(host: str, command: str) -> Remote:
    """Keeps the computer that a person has entered, and returns it."""
    settings = qt.QSettings()
    settings.setValue(_HOST, host.strip())
    settings.setValue(_COMMAND, command.strip() or _DEFAULT)
    return remembered()


def chosenRemote() -> Remote | None:
    """The computer that models run on, or None for this one."""
    return remembered() if isRemoteChosen() else None
