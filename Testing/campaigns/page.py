"""``Docs/reliability.md``: what was tried, what came out, and what was not tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.parts import NOT_TRIED, PARTS
from campaigns.runner import Row, totals
from campaigns.verdicts import CLEAR, UNCLEAR, WRONG


@dataclass(frozen=True)
class Facts:
    """Of one campaign: its seed, date, version of KAF, command, minutes, and the machine."""

    seed: int
    date: str
    version: str
    command: str
    minutes: float
    machine: str


def table(rows: Sequence[Row]) -> list[str]:
    """A line per group and a sum per part, in Markdown."""
    lines = ["| part | what | tried | clear | unclear | wrong |", "|---|---|---:|---:|---:|---:|"]
    for part in PARTS:
        mine = [row for row in rows if row.part == part]
        lines += [_line(part if row is mine[0] else "", row.group, row.tried, row.counts) for row in mine]
        if mine:
            counts = totals(mine)
            lines.append(_line("", f"**{part}**", sum(counts.values()), counts, "**"))
    if len({row.part for row in rows}) > 1:
        counts = totals(rows)
        lines.append(_line("", "**all**", sum(counts.values()), counts, "**"))
    return lines


def _line(part: str, group: str, tried: int, counts: dict[str, int], mark: str = "") -> str:
    numbers = (tried, counts[CLEAR], counts[UNCLEAR], counts[WRONG])
    return f"| {' | '.join([part, group, *(f'{mark}{number}{mark}' for number in numbers)])} |"


def page(rows: Sequence[Row], facts: Facts) -> str:
    """The whole page."""
    faults = [f"* {row.part}, {row.group}, {fault}" for row in rows for fault in row.faults]
    return "\n".join([
        "# Reliability",
        "",
        "What happens to a user's data when something goes wrong, tried and judged automatically:",
        "",
        f"    {facts.command}",
        "",
        f"Seed {facts.seed}, {facts.date}, KAF {facts.version}, {facts.machine}, {facts.minutes:.0f} minutes.",
        "",
        "* **clear**: the right result, or an error that names the file or setting, the reason and what to do.",
        "* **unclear**: an error without one of these.",
        "* **wrong**: something lost, half-written, misplaced or accepted that should not be; a traceback, a crash "
        "or a hang.",
        "",
        *table(rows),
        "",
        *(["What was not clear:", "", *(" ".join(fault.split())[:600] for fault in faults), ""] if faults else []),
        "## What is tried",
        "",
        *(f"**{part.name[0].upper()}{part.name[1:]}.** {part.about}\n" for part in PARTS.values()),
        "A reduced campaign is part of `make test`. The code is in `Testing/campaigns`; every try has its own process, "
        "its own folder and its own random numbers, which follow from the seed and its name.",
        "",
        "## What was not tried",
        "",
        *(f"* {line}" for line in NOT_TRIED)]) + "\n"
