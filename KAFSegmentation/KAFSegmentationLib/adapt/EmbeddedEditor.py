"""Slicer's segment editor as a part of the panel."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

EFFECTS = ["Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices", "Scissors", "Islands",
           "Smoothing"]
"""What corrects slices, and fills those between them; everything else is in the module Segment Editor."""


class EmbeddedEditor:
    """Makes the editor when it is first shown: that takes a moment, and not everybody corrects.

    Args:
        frame: a widget with a layout.
    """

    def __init__(self, frame: qt.QFrame):
        self._frame = frame
        self._isOpen = False
        self.widget: slicer.qMRMLSegmentEditorWidget | None = None

    def open(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode | None,
             locked: bool = False) -> None:
        """Shows a segmentation on a scan; ``locked`` while a run is on its way."""
        if self.widget is None:
            self._make()
        editor = self.widget
        if editor.mrmlSegmentEditorNode() is None:
            editor.setMRMLSegmentEditorNode(_editorNode())
        if editor.segmentationNode() is not segmentationNode:
            editor.setSegmentationNode(segmentationNode)
        if editor.sourceVolumeNode() is not volumeNode:
            editor.setSourceVolumeNode(volumeNode)
        if locked and editor.activeEffect() is not None:
            editor.setActiveEffect(None)
        editor.readOnly = locked
        if not self._isOpen:
            self._isOpen = True
            editor.setupViewObservations()
            editor.installKeyboardShortcuts()

    def close(self) -> None:
        """Deactivates the effect and releases mouse and keyboard."""
        if not self._isOpen:
            return
        self._isOpen = False
        self.widget.setActiveEffect(None)
        self.widget.uninstallKeyboardShortcuts()
        self.widget.removeViewObservations()

    def forget(self) -> None:
        """The scene is closing, and with it all that the editor shows."""
        self.close()
        if self.widget is not None:
            self.widget.setSegmentationNode(None)
            self.widget.setMRMLSegmentEditorNode(None)

    def select(self, segmentId: str) -> None:
        """Chooses a segment to draw, if the editor is shown."""
        if self._isOpen:
            self.widget.setCurrentSegmentID(segmentId)

    def saveState(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Lets the editor undo what is about to be written into a segmentation."""
        if self.widget is not None and self.widget.segmentationNode() is segmentationNode:
            self.widget.saveStateForUndo()

    def _make(self):
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.maximumNumberOfUndoStates = 10
        editor.setEffectNameOrder(EFFECTS)
        editor.unorderedEffectsVisible = False
        editor.toolTip = _("Correct segments or draw new ones. More tools are in the module Segment Editor.")
        self._frame.layout().addWidget(editor)
        self.widget = editor


def _editorNode():
    """The editor's own choices, kept in the scene, apart from those of the module Segment Editor."""
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode("KAFSegmentation", "vtkMRMLSegmentEditorNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag("KAFSegmentation")
        node = scene.AddNode(node)
    return node
