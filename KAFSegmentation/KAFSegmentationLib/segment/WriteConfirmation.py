"""Asks before a run writes into what may be another scan's segmentation; once for each pair of the two."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from KAFSegmentationLib.scene.ResultOwner import isForeign, isOwn, ownerClause
from KAFSegmentationLib.widgets.Questions import CANCEL, ask, mayAsk

_HERE, _NEW = "here", "new"


class WriteConfirmation:
    """Remembers what a person has agreed to until the scene closes.

    Args:
        parent: the widget that questions belong to.
    """

    def __init__(self, parent: qt.QWidget):
        self._parent = parent
        self.forget()

    def forget(self) -> None:
        """The scene is closing, and its nodes with it."""
        self._confirmed: set[tuple[str, str]] = set()

    def isAllowed(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None,
                  volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> bool:
        """Whether it may be written: it is not known to be another scan's, or a person has agreed."""
        return segmentationNode is None or volumeNode is None or self.isConfirmed(segmentationNode, volumeNode) \
            or not isForeign(segmentationNode, volumeNode)

    def isConfirmed(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None,
                    volumeNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
        """Whether a person has agreed that structures of this scan are written into this segmentation."""
        return segmentationNode is not None and (segmentationNode.GetID(), volumeNode.GetID()) in self._confirmed

    def ownerText(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None,
                  volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> str:
        """Which scan the segmentation belongs to, a sentence, where a person is going to be asked; else nothing."""
        if not self._mustAsk(segmentationNode, volumeNode):
            return ""
        return f"{ownerClause(segmentationNode, volumeNode)}."

    def confirm(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None,
                volumeNode: slicer.vtkMRMLScalarVolumeNode, title: str, mayBeNew: bool = True
                ) -> tuple[bool, slicer.vtkMRMLSegmentationNode | None]:
        """Asks if need be.

        Args:
            title: of the question: what is about to be done.
            mayBeNew: whether a new segmentation would do as well.

        Returns:
            (whether to continue, the segmentation to write into; None for a new one).
        """
        if not self._mustAsk(segmentationNode, volumeNode):
            return True, segmentationNode
        if not mayAsk():
            return True, None if mayBeNew else segmentationNode  # the run refuses what is known to be another scan's
        answers = {_NEW: _("New segmentation")} if mayBeNew else {}
        question = _("Write the result of '{scan}' into it anyway?").format(scan=volumeNode.GetName())
        answer = ask(self._parent, title, f"{self.ownerText(segmentationNode, volumeNode)} {question}",
                     {**answers, _HERE: _("Write anyway")}, _NEW if mayBeNew else CANCEL)
        if answer == _HERE:
            self._confirmed.add((segmentationNode.GetID(), volumeNode.GetID()))
        return answer != CANCEL, segmentationNode if answer == _HERE else None

    def _mustAsk(self, segmentationNode, volumeNode):
        return segmentationNode is not None and volumeNode is not None \
            and not isOwn(segmentationNode, volumeNode) and not self.isConfirmed(segmentationNode, volumeNode)
