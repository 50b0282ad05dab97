"""Which result is shown, why, and what it expects: one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

_SHOWN = {"model": _("Shown: the model alone"), "memory": _("Shown: the finished slices alone"),
          "combination": _("Shown: the model and the finished slices together")}
_WHY = {"asked": _("as you asked"), "unknown": _("the model knows none of the structures"),
        "nothing": _("no slice of this scan is finished, so the slices of earlier patients are used"),
        "few": _("with one finished slice the alternatives cannot be compared")}
_NAMES = {"model": _("the model alone {dice}"), "memory": _("the finished slices alone {dice}"),
          "combination": _("both together {dice}")}


def resultSentence(choice: Mapping[str, Any]) -> str:
    """From the choice that the verb ``propagate`` reports: source, reason, Dice of each source on the finished slices
    that were left out, and how many these were. Empty for a choice of another version."""
    source, dice = choice.get("source"), choice.get("dice", {})
    if source not in _SHOWN:
        return ""
    expected = dice.get(source)
    parts = [_SHOWN[source]]
    if choice.get("reason") in _WHY:
        parts.append(_(": {reason}").format(reason=_WHY[choice["reason"]]))
    if expected is not None:
        count = choice.get("slices", 0)
        text = _("; expected Dice {dice}, from 1 finished slice left out") if count == 1 else \
            _("; expected Dice {dice}, from {count} finished slices left out in turn")
        parts.append(text.format(dice=_number(expected), count=count))
        others = ", ".join(_NAMES[name].format(dice=_number(value)) for name, value in dice.items()
                           if name != source and name in _NAMES)
        if others:
            parts.append(_(" ({others})").format(others=others))
    return _("{parts}.").format(parts="".join(parts))


def _number(dice):
    return f"{dice:.2f}"
