"""qMRMLSegmentEditorWidget: selectors, segment list, effect buttons, keys and undo, without the effects' painting.

The state is where Slicer keeps it, in the vtkMRMLSegmentEditorNode, and segments are added, removed, saved and undone
by slicer-core's own vtkSlicerSegmentEditorLogic.  Nothing can be painted with the mouse.
"""

import shiboken6
import slicer
import vtk
from PySide6.QtCore import QSignalBlocker, Signal

from .declare import standIn, stored
from .mrml_widget import qMRMLWidget
from .segment_editor_following import FollowsEditorNode
from .segment_editor_form import SegmentEditorForm
from .segment_editor_keys import SegmentEditorKeys
from .segment_effects import EFFECTS, qSlicerSegmentEditorAbstractEffect


@standIn
class qMRMLSegmentEditorWidget(FollowsEditorNode, qMRMLWidget):
    """The Segment Editor as a part of a panel."""

    currentSegmentIDChanged = Signal(str)
    sourceVolumeNodeChanged = Signal(object)
    segmentationNodeChanged = Signal(object)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._node = self._shown = self._shownVolume = self._active = self._last = None
        self._observed: list[tuple[object, int]] = []
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.AddObserver(self._logic.SegmentationHistoryChangedEvent, self._onHistory)
        self._effects = [qSlicerSegmentEditorAbstractEffect(name, self) for name in EFFECTS]
        self._keys = SegmentEditorKeys(self)
        self._form = SegmentEditorForm(self, self._effects)
        self._connect()
        self._show()

    segmentationNodeSelectorVisible = stored("segmentationNodeSelectorVisible", bool, True, "_show")
    sourceVolumeNodeSelectorVisible = stored("sourceVolumeNodeSelectorVisible", bool, True, "_show")
    maskingSectionVisible = stored("maskingSectionVisible", bool, True)
    specifyGeometryButtonVisible = stored("specifyGeometryButtonVisible", bool, True)
    show3DButtonVisible = stored("show3DButtonVisible", bool, True)
    addRemoveSegmentButtonsVisible = stored("addRemoveSegmentButtonsVisible", bool, True, "_show")
    switchToSegmentationsButtonVisible = stored("switchToSegmentationsButtonVisible", bool, True)
    autoShowSourceVolumeNode = stored("autoShowSourceVolumeNode", bool, True)
    undoEnabled = stored("undoEnabled", bool, True, "_allowUndo")
    maximumNumberOfUndoStates = stored("maximumNumberOfUndoStates", int, 10, "_limitUndo")
    readOnly = stored("readOnly", bool, False, "_lock")
    effectColumnCount = stored("effectColumnCount", int, 2)
    effectButtonStyle = stored("effectButtonStyle", int, 0)
    unorderedEffectsVisible = stored("unorderedEffectsVisible", bool, True, "_show")
    jumpToSelectedSegmentEnabled = stored("jumpToSelectedSegmentEnabled", bool, False)
    defaultTerminologyEntry = stored("defaultTerminologyEntry", str, "")
    defaultTerminologyEntrySettingsKey = stored(
        "defaultTerminologyEntrySettingsKey", str, "Segmentations/DefaultTerminologyEntry")

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node):
        if node is self._node:
            return
        for source, tag in self._observed:
            source.RemoveObserver(tag)
        self._observed = [] if node is None else [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNode))]
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._update()

    def segmentationNode(self):
        return self._form.segmentations.currentNode()

    def segmentationNodeID(self):
        return self._form.segmentations.currentNodeID

    def setSegmentationNode(self, node):
        if self._logic.GetSegmentationNode() is not node:
            self._logic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def setSegmentationNodeID(self, nodeID):
        self.setSegmentationNode(self.mrmlScene().GetNodeByID(nodeID))

    def sourceVolumeNode(self):
        return self._logic.GetSourceVolumeNode()

    def sourceVolumeNodeID(self):
        return self.sourceVolumeNode().GetID() if self.sourceVolumeNode() is not None else ""

    def setSourceVolumeNode(self, node):
        self._logic.SetSourceVolumeNode(node)

    def setSourceVolumeNodeID(self, nodeID):
        self.setSourceVolumeNode(self.mrmlScene().GetNodeByID(nodeID))

    def currentSegmentID(self):
        return self._logic.GetCurrentSegmentID()

    def setCurrentSegmentID(self, segmentID):
        if self._node is not None:
            self._node.SetSelectedSegmentID(segmentID)

    def availableEffectNames(self):
        return list(EFFECTS)

    def effectNameOrder(self):
        return self.__dict__.get("_order", list(EFFECTS))

    def setEffectNameOrder(self, names):
        self._order = list(names)
        self._show()

    def effectByName(self, name):
        return next((effect for effect in self._effects if effect.name == name), None)

    def effectCount(self):
        return len(self._offered)

    def effectByIndex(self, index):
        return self._offered[index] if 0 <= index < len(self._offered) else None

    def activeEffect(self):
        return self._active

    def setActiveEffect(self, effect):
        if self._node is not None:
            self._node.SetActiveEffectName(effect.name if effect is not None else "")

    def setActiveEffectByName(self, name):
        self.setActiveEffect(self.effectByName(name))

    def saveStateForUndo(self):
        self._logic.SaveStateForUndo()

    def undo(self):
        self._logic.Undo()

    def redo(self):
        self._logic.Redo()

    def setupViewObservations(self):
        pass

    def removeViewObservations(self):
        pass

    def installKeyboardShortcuts(self, parent=None):
        self._keys.install(parent)

    def uninstallKeyboardShortcuts(self):
        self._keys.uninstall()

    def updateWidgetFromMRML(self):
        self._update()

    def setReadOnly(self, readOnly):
        self.readOnly = readOnly

    def setUndoEnabled(self, enabled):
        self.undoEnabled = enabled

    def setMaximumNumberOfUndoStates(self, count):
        self.maximumNumberOfUndoStates = count

    def _sceneChanged(self) -> None:
        scene = self.mrmlScene()
        for selector in (self._form.segmentations, self._form.volumes):
            with QSignalBlocker(selector):
                selector.setMRMLScene(scene)
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(scene)
        self._logic.SetVerbose(True)
        scene.AddObserver(scene.EndCloseEvent, self._onNode)
        scene.AddObserver(scene.EndBatchProcessEvent, self._onBatchEnded)
        self._update()

    def _onNode(self, *_) -> None:
        if shiboken6.isValid(self):
            self._update()

    def _onHistory(self, *_) -> None:
        if shiboken6.isValid(self):
            self._dressUndo()

    def _onBatchEnded(self, *_) -> None:
        """What the selectors chose by themselves meanwhile is taken."""
        if shiboken6.isValid(self):
            if self._node is not None:
                self.setSegmentationNode(self._form.segmentations.currentNode())
                if self._form.volumes.currentNode() is not self.sourceVolumeNode():
                    self.setSourceVolumeNode(self._form.volumes.currentNode())
            self._update()

    def _connect(self) -> None:
        form = self._form
        form.segmentations.currentNodeChanged.connect(self._onSegmentationChosen)
        form.volumes.currentNodeChanged.connect(self._onVolumeChosen)
        form.add.clicked.connect(lambda: self._logic.AddEmptySegment("", 0))
        form.remove.clicked.connect(self._removeSegment)
        form.table.selectionChanged.connect(self._onSelection)
        form.table.segmentAboutToBeModified.connect(lambda segmentID: self.saveStateForUndo())
        for effect, button in form.buttons.items():
            button.clicked.connect(lambda checked, effect=effect: self.setActiveEffect(effect))
        form.undo.clicked.connect(self.undo)
        form.redo.clicked.connect(self.redo)

    def _onSegmentationChosen(self, node) -> None:
        if self._canFollow():
            self.setSegmentationNode(node)

    def _onVolumeChosen(self, node) -> None:
        if self._canFollow():
            self.setSourceVolumeNode(node)

    def _canFollow(self) -> bool:
        scene = self.mrmlScene()
        return scene is not None and not scene.IsClosing() and not scene.IsBatchProcessing()

    def _removeSegment(self) -> None:
        chosen = self._logic.RemoveSelectedSegment()
        if chosen:
            self._form.table.setSelectedSegmentIDs([chosen])

    def _onSelection(self, *_) -> None:
        """A person has chosen in the list; a choice that comes from the editor node is not told."""
        selected = self._form.table.selectedSegmentIDs()
        if self._node is None or (selected[0] if selected else "") == self.currentSegmentID():
            return
        self._node.SetSelectedSegmentID(selected[0] if selected else None)
        if not selected and self._active is not None and self._active.perSegment:
            self.setActiveEffect(None)
        self._update()
        self.currentSegmentIDChanged.emit(selected[0] if selected else "")

    def _activateLast(self) -> None:
        if not self.readOnly:
            self.setActiveEffect(self._last)

    def _lock(self) -> None:
        if self.readOnly:
            self.setActiveEffect(None)
        self._update()

    def _allowUndo(self) -> None:
        if self.undoEnabled:
            self._logic.ClearUndoState()
        for button in (self._form.undo, self._form.redo):
            button.setVisible(self.undoEnabled)

    def _limitUndo(self) -> None:
        self._logic.SetMaximumNumberOfUndoStates(self.maximumNumberOfUndoStates)

    def _show(self) -> None:
        order = [effect for effect in map(self.effectByName, self.effectNameOrder()) if effect is not None]
        others = [effect for effect in self._effects if effect not in order]
        self._offered = [None, *order, *(others if self.unorderedEffectsVisible else [])]
        self._form.show({"segmentation": self.segmentationNodeSelectorVisible,
                         "volume": self.sourceVolumeNodeSelectorVisible,
                         "buttons": self.addRemoveSegmentButtonsVisible}, self._offered)
