"""How the segment editor follows its vtkMRMLSegmentEditorNode: what it shows, allows and tells when that changes."""

import slicer
import vtk
from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QMessageBox


class FollowsEditorNode:
    """The part of the editor that reads its node.

    A segmentation that is chosen brings its own reference volume, puts the tool away and chooses its first segment; a
    source volume is shown in the slice views unless it is in them already.
    """

    def _update(self) -> None:
        """Shows what the editor node says, and tells what is another than before."""
        if not self._canFollow():
            return
        if self._node is None:
            self._form.segmentations.setEnabled(False)
            self._form.effects.setEnabled(False)
            return
        self._form.segmentations.setEnabled(True)
        self._followSegmentation()
        self._followVolume()
        self._followSelection()
        self._followEffect()
        self._dressUndo()

    def _followSegmentation(self) -> None:
        node, form = self._logic.GetSegmentationNode(), self._form
        if form.segmentations.currentNode() is not node:
            with QSignalBlocker(form.segmentations):
                form.segmentations.setCurrentNode(node)
        if node is self._shown:
            return
        self._observeSegmentation(node)
        self._shown = node
        with QSignalBlocker(form.table):
            form.table.setSegmentationNode(node)
        if node is not None:
            form.volumes.setCurrentNode(node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()))
            node.CreateDefaultDisplayNodes()
            form.table.setSelectedSegmentIDs(list(self._logic.GetSegmentIDs())[:1])
            for view in self._slicesThatShowIt():
                view.SetLabelVolumeID(None)
        self.segmentationNodeChanged.emit(node)

    def _observeSegmentation(self, node) -> None:
        for source, tag in self._observed[1:]:
            source.RemoveObserver(tag)
        del self._observed[1:]
        if node is not None:
            kind = slicer.vtkSegmentation
            for event in (vtk.vtkCommand.ModifiedEvent, kind.SegmentAdded, kind.SegmentRemoved):
                self._observed.append((node, node.AddObserver(event, self._onNode)))

    def _followVolume(self) -> None:
        node = self.sourceVolumeNode()
        if self._shown is None or node is self._shownVolume:
            return
        self._shownVolume = node
        with QSignalBlocker(self._form.volumes):
            self._form.volumes.setCurrentNode(node)
        if node is not None and self.autoShowSourceVolumeNode:
            for view in self._slicesThatShowIt():
                if node.GetID() not in (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()):
                    view.SetBackgroundVolumeID(node.GetID())
                    view.SetForegroundVolumeID(None)
                    view.SetLabelVolumeID(None)
        self.sourceVolumeNodeChanged.emit(node)

    def _slicesThatShowIt(self) -> list:
        logics = slicer.app.layoutManager().mrmlSliceLogics()
        found = [logics.GetItemAsObject(index) for index in range(logics.GetNumberOfItems())]
        return [logic.GetSliceCompositeNode() for logic in found
                if self._logic.IsSegmentationDisplayableInView(logic.GetSliceNode())]

    def _followSelection(self) -> None:
        current = self.currentSegmentID()
        isThere = self._shown is not None and current in self._logic.GetSegmentIDs()
        self._form.add.setEnabled(self._logic.CanAddSegments())
        self._form.remove.setEnabled(isThere and not self.readOnly)
        if isThere:
            self._form.table.setSelectedSegmentIDs([current])
        else:
            self._form.table.clearSelection()
        self._form.table.readOnly = self.readOnly

    def _followEffect(self) -> None:
        isAllowed = self.sourceVolumeNode() is not None and not self.readOnly
        ids = list(self._logic.GetSegmentIDs()) if self._shown is not None else []
        self._form.effects.setEnabled(isAllowed and self._shown is not None)
        for effect, button in self._form.buttons.items():
            button.setEnabled(effect is None or bool(ids and (self.currentSegmentID() or not effect.perSegment)))
        wanted = self.effectByName(self._node.GetActiveEffectName() or "")
        if wanted is self._active:
            return
        if wanted is not None and not self._toLabelmap():
            wanted = None
        if wanted is not None:
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._last, self._active = self._active, wanted
        for effect, button in self._form.buttons.items():
            button.setChecked(effect is wanted)

    def _toLabelmap(self) -> bool:
        """A segmentation that is made of surfaces is made of voxels first, after a question."""
        if self._logic.CanTriviallyConvertSourceRepresentationToBinaryLabelMap():
            return self._logic.TrivialSetSourceRepresentationToBinaryLabelmap()
        if self._shown is None:
            return False
        answer = QMessageBox.question(None, "Change source representation to binary labelmap?",
                                      "Editing requires binary labelmap source representation.",
                                      QMessageBox.Yes | QMessageBox.No, QMessageBox.No)
        return answer == QMessageBox.Yes and self._logic.SetSourceRepresentationToBinaryLabelMap()

    def _dressUndo(self) -> None:
        self._form.undo.setEnabled(not self.readOnly and self._logic.CanUndo())
        self._form.redo.setEnabled(not self.readOnly and self._logic.CanRedo())
