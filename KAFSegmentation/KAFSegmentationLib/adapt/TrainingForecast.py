"""What training would do, or what is missing for it, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from KAFSegmentationLib.widgets.Parameters import Parameters


def trainingProblem(parameters: Parameters, card: Card | None, chosen: Sequence[str]) -> str:
    """What is missing, a sentence, or nothing.

    Args:
        card: of the model; None without a model or a scan that it can see.
        chosen: ids of the new structures.
    """
    if card is None:
        return _("Choose a scan and a model first.")
    if not (parameters.learnNew or card.labels):
        return _("Pretrained weights: press Add structure and draw it on about three slices.")
    node = parameters.outputSegmentation
    if node is None or node.GetSegmentation().GetNumberOfSegments() == 0:
        return _("Press Apply and correct the result, or press Add structure and draw it.")
    if parameters.learnNew and not chosen:
        return _("Select the structures, or press Add structure and draw it.")
    return ""


def trainingForecast(parameters: Parameters, marked: int, count: int) -> str:
    """What Train would do with ``marked`` finished slices of ``count``."""
    if not marked:
        return _("No finished slices yet: training will use those that you drew.") if parameters.learnNew else \
            _("No finished slices yet: training will use those that you corrected since the last result.")
    text = _("Will learn from 1 slice for {seconds} s, then segment the other {rest}.") if marked == 1 else \
        _("Will learn from {count} slices for {seconds} s, then segment the other {rest}.")
    return text.format(count=marked, seconds=f"{parameters.adaptSeconds:.0f}", rest=count - marked)
