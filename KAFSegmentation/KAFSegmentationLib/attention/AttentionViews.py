"""What can be overlaid on the slices: names, hints, and which model can show it."""

from __future__ import annotations

from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from KAFSegmentationLib.attention.AttentionQuestion import scaleCount

VIEWS = ("off", "saliency", "from", "to", "uncertainty", "clusters")
ATTENTION = ("saliency", "from", "to")
NAMES = {"off": _("Nothing"), "saliency": _("Attention of the whole scan"), "from": _("Attention from a keypoint"),
         "to": _("Attention to a keypoint"), "uncertainty": _("Uncertainty of the result"),
         "clusters": _("Unsupervised clusters")}
HINTS = {
    "off": _("Choose an overlay to see which parts of the scan the model attends to."),
    "saliency": _("Bright areas receive the most attention. The points are the keypoints, in the same colors."),
    "from": _("Click in a slice to choose the nearest keypoint. Bright areas are those that it attends to."),
    "to": _("Click in a slice to choose the nearest keypoint. Bright areas are those that attend to it."),
    "uncertainty": _("In bright areas the model is unsure which structure it sees: check these first."),
    "clusters": _("Each color is a cluster that the model learned from unlabeled scans. Clusters have no names, and "
                  "keep their colors from scan to scan."),
}
TITLES = {**dict.fromkeys(ATTENTION, _("Attention")), "uncertainty": _("Uncertainty"), "clusters": _("Clusters")}


def obstacle(card: Card | None, view: str) -> str:
    """Why a model cannot show a view, a sentence; empty if it can.

    Args:
        card: of the model, or None.
    """
    if view == "off":
        return ""
    if card is None:
        return _("Choose a model first.")
    if view == "clusters" and not card.network.get("clusters"):
        return _("This model has no unsupervised clusters: only models pretrained with the method BIM have them.")
    if view == "uncertainty" and not card.labels:
        return _("Pretrained weights do not segment, so there is no uncertainty to show.")
    if view in ATTENTION and scaleCount(card) == 0:
        return _("This model has no keypoint attention.")
    return ""
