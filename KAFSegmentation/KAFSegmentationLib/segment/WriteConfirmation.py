"""Asks before a run writes into what may be another scan's segmentation; once for each pair of the two."""

from KAFSegmentationLib.scene.ResultOwner import isForeign, isOwn, whose
from KAFSegmentationLib.widgets.Questions import CANCEL, ask, mayAsk

_HERE, _NEW = "here", "new"


class WriteConfirmation:
    """Args:
        parent: the widget that questions belong to.
    """

    def __init__(self, parent):
        self._parent = parent
        self.forget()

    def forget(self):
        """The scene is closing, and its nodes with it."""
        self._agreed = set()

    def isOpen(self, segmentationNode, volumeNode):
        """Whether nothing speaks against writing: it is not known to be another scan's, or a person has agreed."""
        return segmentationNode is None or volumeNode is None or self.isAgreed(segmentationNode, volumeNode) \
            or not isForeign(segmentationNode, volumeNode)

    def isAgreed(self, segmentationNode, volumeNode):
        """Whether a person has agreed that structures of this scan are written into this segmentation."""
        return segmentationNode is not None and (segmentationNode.GetID(), volumeNode.GetID()) in self._agreed

    def words(self, segmentationNode, volumeNode):
        """Whose the segmentation is, a sentence, where a person is going to be asked; else nothing."""
        if not self._mustAsk(segmentationNode, volumeNode):
            return ""
        return f"'{segmentationNode.GetName()}' {whose(segmentationNode, volumeNode)}."

    def enter(self, segmentationNode, volumeNode, title, mayBeNew=True):
        """Asks if need be.

        Args:
            title: of the question: what is about to be done.
            mayBeNew: whether a new segmentation would do as well.

        Returns:
            (whether to go on, the segmentation to write into; None for a new one).
        """
        if not self._mustAsk(segmentationNode, volumeNode):
            return True, segmentationNode
        if not mayAsk():
            return True, None if mayBeNew else segmentationNode  # the run refuses what is known to be another scan's
        answers = {_NEW: "New segmentation"} if mayBeNew else {}
        question = f"Write the result of '{volumeNode.GetName()}' into it anyway?"
        answer = ask(self._parent, title, f"{self.words(segmentationNode, volumeNode)} {question}",
                     {**answers, _HERE: "Write anyway"}, _NEW if mayBeNew else CANCEL)
        if answer == _HERE:
            self._agreed.add((segmentationNode.GetID(), volumeNode.GetID()))
        return answer != CANCEL, segmentationNode if answer == _HERE else None

    def _mustAsk(self, segmentationNode, volumeNode):
        return segmentationNode is not None and volumeNode is not None \
            and not isOwn(segmentationNode, volumeNode) and not self.isAgreed(segmentationNode, volumeNode)
