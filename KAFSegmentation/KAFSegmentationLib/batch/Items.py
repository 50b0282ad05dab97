"""What the table of many scans shows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slicer.i18n import tr as _

WAITING, RUNNING, DONE, CHECK, FAILED = "waiting", "running", "done", "check", "failed"
_ORDER = (FAILED, CHECK, RUNNING, WAITING, DONE)
"""Doubts first."""
TITLES = {WAITING: _("waiting"), RUNNING: _("running"), DONE: _("done"), CHECK: _("check"), FAILED: _("failed")}


@dataclass(frozen=True)
class Item:
    """One scan.

    Attributes:
        key: tells it from the others.
        state: WAITING, RUNNING, DONE, CHECK (done, with doubts) or FAILED.
        volumes: millilitres by name of the structure.
        notes: why the result is doubtful, or why there is none.
    """

    key: str
    name: str
    state: str = WAITING
    volumes: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def isDone(self) -> bool:
        """Whether there is a result."""
        return self.state in (DONE, CHECK)


def ordered(items: list[Item]) -> list[Item]:
    """Doubts first, of these the one with most; else as they were."""
    return sorted(items, key=lambda item: (_ORDER.index(item.state), -len(item.notes)))
