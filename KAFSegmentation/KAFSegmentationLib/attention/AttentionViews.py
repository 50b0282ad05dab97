"""What can be laid over the slices: the words for it, and which model can show it."""

from KAFSegmentationLib.attention.AttentionQuestion import scaleCount

VIEWS = ("off", "saliency", "from", "to", "uncertainty", "clusters")
ATTENTION = ("saliency", "from", "to")
NAMES = {"off": "Nothing", "saliency": "Attention of the whole scan", "from": "Where a keypoint looks",
         "to": "Who looks at a keypoint", "uncertainty": "Uncertainty of the result",
         "clusters": "Regions that the model tells apart by itself"}
HINTS = {
    "off": "See on the slices which places the model attends to.",
    "saliency": "Bright places are attended most; the points are the keypoints, in the same colors.",
    "from": "Click anywhere in a slice. The keypoint nearest to it is taken; the map shows where it looks.",
    "to": "Click anywhere in a slice. The keypoint nearest to it is taken; the map shows who looks at it.",
    "uncertainty": "Bright places are where the model hesitates between structures: check these first.",
    "clusters": "Each color is a region that the model learned to tell apart from scans alone, before anybody named a "
                "structure. Regions have no names, and keep their color from scan to scan.",
}
TITLES = {**dict.fromkeys(ATTENTION, "Attention"), "uncertainty": "Uncertainty", "clusters": "Regions"}


def obstacle(card, view):
    """Why a model cannot show a view, a sentence; empty if it can.

    Args:
        card: of the model, or None.
    """
    if view == "off":
        return ""
    if card is None:
        return "Choose a model first."
    if view == "clusters" and not card.network.get("clusters"):
        return "This model has no regions of its own: only models that were pretrained with the method BIM have them."
    if view == "uncertainty" and not card.labels:
        return "These weights segment nothing yet, so there is no result to be unsure of."
    if view in ATTENTION and scaleCount(card) == 0:
        return "This model has no keypoint attention."
    return ""
