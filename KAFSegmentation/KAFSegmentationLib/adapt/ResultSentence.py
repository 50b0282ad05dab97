"""Which result is shown, why, and what it expects of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

_SHOWN = {"model": _("the model alone"), "memory": _("the finished slices alone"),
          "combination": _("the model and the finished slices together")}
_WHY = {"asked": _(", as you asked"), "new": _(", because the structures are new"),
        "unknown": _(", because the model knows none of the structures"),
        "nothing": _(", because no slice of this scan is finished"),
        "few": _(", because with one finished slice the alternatives cannot be compared")}


def resultSentence(choice: Mapping[str, Any], expected: float | None) -> str:
    """Empty for a choice of another version.

    Args:
        choice: as the verb ``propagate`` reports it: source, reason, Dice of each source on the finished slices that
            were left out, and how many these were. The reason may also be "new": the model was not asked.
        expected: the Dice that the result expects of the unfinished slices, 0..1, or None.
    """
    source, dice = choice.get("source"), choice.get("dice", {})
    if source not in _SHOWN:
        return ""
    why = _WHY.get(choice.get("reason"), "")
    shown = _("the finished slices of earlier patients") if choice.get("reason") == "nothing" else _SHOWN[source]
    compared = {name: value for name, value in dice.items() if name in _SHOWN}
    if not why and compared:
        count = choice.get("slices", 0)
        text = _(", the best on 1 finished slice that was left out (Dice: {scores})") if count == 1 else \
            _(", the best on {count} finished slices left out in turn (Dice: {scores})")
        scores = ", ".join(f"{_SHOWN[name]} {value:.2f}" for name, value in compared.items())
        why = text.format(count=count, scores=scores)
    text = _("Shown: {source}{why}.") if expected is None else \
        _("Shown: {source}{why}; the Dice that it expects of the other slices is {expected}.")
    return text.format(source=shown, why=why, expected=f"{expected or 0:.2f}")
