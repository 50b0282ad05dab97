"""qMRMLSegmentEditorWidget: selectors, segment list, effect buttons and undo, without the effects' painting.

The state is where Slicer keeps it, in the vtkMRMLSegmentEditorNode, and undo is slicer-core's own
vtkSegmentationHistory.  Nothing can be painted with the mouse.
"""

import shiboken6
import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from .declare import standIn, stored
from .mrml_widget import qMRMLWidget
from .node_selector import qMRMLNodeComboBox
from .segments_table import qMRMLSegmentsTableView

EFFECTS = (
    "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices",
    "Margin", "Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume",
)  # fmt: skip


@standIn
class qSlicerSegmentEditorAbstractEffect(QObject):
    """An effect: its name, and its parameters, which are attributes of the editor node."""

    def __init__(self, name: str, editor: "qMRMLSegmentEditorWidget"):
        super().__init__(editor)
        self._name, self._editor = name, editor

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)

    def parameterSetNode(self):
        return self._editor.mrmlSegmentEditorNode()

    def parameter(self, name):
        return self.parameterSetNode().GetAttribute(f"{self._name}.{name}") or ""

    def integerParameter(self, name):
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name):
        return float(self.parameter(name) or 0)

    def setParameter(self, name, value):
        self.parameterSetNode().SetAttribute(f"{self._name}.{name}", str(value))

    def setCommonParameter(self, name, value):
        self.parameterSetNode().SetAttribute(name, str(value))

    def saveStateForUndo(self):
        self._editor.saveStateForUndo()

    def active(self):
        return self._editor.activeEffect() is self


@standIn
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """The Segment Editor as a part of a panel."""

    currentSegmentIDChanged = Signal(str)
    sourceVolumeNodeChanged = Signal(object)
    segmentationNodeChanged = Signal(object)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._node = None
        self._observer = None
        self._shown = (None, None, "")
        self._history = slicer.vtkSegmentationHistory()
        self._history.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onHistory)
        self._effects = [qSlicerSegmentEditorAbstractEffect(name, self) for name in EFFECTS]
        self._build()
        self._update()

    segmentationNodeSelectorVisible = stored("segmentationNodeSelectorVisible", bool, True, "_update")
    sourceVolumeNodeSelectorVisible = stored("sourceVolumeNodeSelectorVisible", bool, True, "_update")
    maskingSectionVisible = stored("maskingSectionVisible", bool, True)
    specifyGeometryButtonVisible = stored("specifyGeometryButtonVisible", bool, True)
    show3DButtonVisible = stored("show3DButtonVisible", bool, True)
    addRemoveSegmentButtonsVisible = stored("addRemoveSegmentButtonsVisible", bool, True, "_update")
    switchToSegmentationsButtonVisible = stored("switchToSegmentationsButtonVisible", bool, True)
    autoShowSourceVolumeNode = stored("autoShowSourceVolumeNode", bool, True)
    undoEnabled = stored("undoEnabled", bool, True, "_update")
    maximumNumberOfUndoStates = stored("maximumNumberOfUndoStates", int, 10, "_update")
    readOnly = stored("readOnly", bool, False, "_update")
    effectColumnCount = stored("effectColumnCount", int, 2)
    effectButtonStyle = stored("effectButtonStyle", int, 2)
    unorderedEffectsVisible = stored("unorderedEffectsVisible", bool, True, "_update")
    jumpToSelectedSegmentEnabled = stored("jumpToSelectedSegmentEnabled", bool, False)
    defaultTerminologyEntry = stored("defaultTerminologyEntry", str, "")
    defaultTerminologyEntrySettingsKey = stored("defaultTerminologyEntrySettingsKey", str, "")

    def mrmlSegmentEditorNode(self):
        return self._node

    def setMRMLSegmentEditorNode(self, node):
        if self._observer is not None:
            self._node.RemoveObserver(self._observer)
        self._node, self._observer = node, None
        if node is not None:
            self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNode)
        self._update()

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node is not None else None

    def segmentationNodeID(self):
        return self.segmentationNode().GetID() if self.segmentationNode() is not None else ""

    def setSegmentationNode(self, node):
        if self._node is not None:
            self._node.SetAndObserveSegmentationNode(node)

    def setSegmentationNodeID(self, nodeID):
        self.setSegmentationNode(self.mrmlScene().GetNodeByID(nodeID))

    def sourceVolumeNode(self):
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def sourceVolumeNodeID(self):
        return self.sourceVolumeNode().GetID() if self.sourceVolumeNode() is not None else ""

    def setSourceVolumeNode(self, node):
        if self._node is not None:
            self._node.SetAndObserveSourceVolumeNode(node)

    def setSourceVolumeNodeID(self, nodeID):
        self.setSourceVolumeNode(self.mrmlScene().GetNodeByID(nodeID))

    def currentSegmentID(self):
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segmentID):
        if self._node is not None:
            self._node.SetSelectedSegmentID(segmentID)

    def availableEffectNames(self):
        return list(EFFECTS)

    def effectNameOrder(self):
        return self.__dict__.get("_order", list(EFFECTS))

    def setEffectNameOrder(self, names):
        self._order = list(names)
        self._update()

    def effectByName(self, name):
        return next((effect for effect in self._effects if effect.name == name), None)

    def effectCount(self):
        return len(self._effects)

    def activeEffect(self):
        return self.effectByName(self._node.GetActiveEffectName() or "") if self._node is not None else None

    def setActiveEffect(self, effect):
        self.setActiveEffectByName(effect.name if effect is not None else "")

    def setActiveEffectByName(self, name):
        if self._node is not None and (not name or self.effectByName(name) is not None):
            self._node.SetActiveEffectName(name)

    def saveStateForUndo(self):
        if self.undoEnabled and self.segmentationNode() is not None:
            self._history.SaveState()
            self._update()

    def undo(self):
        self._history.RestorePreviousState()
        self._update()

    def redo(self):
        self._history.RestoreNextState()
        self._update()

    def setupViewObservations(self):
        pass

    def removeViewObservations(self):
        pass

    def installKeyboardShortcuts(self, parent=None):
        pass

    def uninstallKeyboardShortcuts(self):
        pass

    def updateWidgetFromMRML(self):
        self._update()

    def setReadOnly(self, readOnly):
        self.readOnly = readOnly

    def setUndoEnabled(self, enabled):
        self.undoEnabled = enabled

    def setMaximumNumberOfUndoStates(self, count):
        self.maximumNumberOfUndoStates = count

    def _sceneChanged(self) -> None:
        for selector in (self._segmentations, self._volumes):
            selector.setMRMLScene(self.mrmlScene())

    def _onNode(self, *_) -> None:
        if shiboken6.isValid(self):
            self._update()

    def _onHistory(self, *_) -> None:
        if shiboken6.isValid(self):
            self._dressUndo()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        self._segmentations, self._volumes = qMRMLNodeComboBox(self), qMRMLNodeComboBox(self)
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for selector in (self._segmentations, self._volumes):
            selector.noneEnabled = True
        self._segmentations.currentNodeChanged.connect(self.setSegmentationNode)
        self._volumes.currentNodeChanged.connect(self.setSourceVolumeNode)
        self._segmentationLabel, self._volumeLabel = (
            QLabel("Segmentation:", self),
            QLabel("Source volume:", self),
        )
        form.addRow(self._segmentationLabel, self._segmentations)
        form.addRow(self._volumeLabel, self._volumes)
        layout.addLayout(form)
        self._add, self._remove = QPushButton("Add", self), QPushButton("Remove", self)
        self._add.setObjectName("AddSegmentButton")
        self._remove.setObjectName("RemoveSegmentButton")
        self._add.clicked.connect(self._addSegment)
        self._remove.clicked.connect(self._removeSegment)
        layout.addLayout(_row(self._add, self._remove))
        self._table = qMRMLSegmentsTableView(self)
        self._table.setSelectionMode(1)
        self._table.selectionChanged.connect(self._onSelection)
        self._table.setMinimumHeight(110)
        layout.addWidget(self._table)
        self._buttons = {}
        for start in range(0, len(EFFECTS), 4):
            layout.addLayout(_row(*(self._effectButton(name) for name in EFFECTS[start : start + 4])))
        self._undo, self._redo = QToolButton(self), QToolButton(self)
        for button, text, action in ((self._undo, "Undo", self.undo), (self._redo, "Redo", self.redo)):
            button.setText(text)
            button.setObjectName(f"{text}Button")
            button.clicked.connect(action)
        layout.addLayout(_row(self._undo, self._redo))

    def _effectButton(self, name: str) -> QToolButton:
        button = QToolButton(self)
        button.setText(name)
        button.setObjectName(name)
        button.setCheckable(True)
        button.clicked.connect(lambda checked: self.setActiveEffectByName(name if checked else ""))
        self._buttons[name] = button
        return button

    def _addSegment(self) -> None:
        self.saveStateForUndo()
        self.setCurrentSegmentID(self.segmentationNode().GetSegmentation().AddEmptySegment())

    def _removeSegment(self) -> None:
        self.saveStateForUndo()
        self.segmentationNode().GetSegmentation().RemoveSegment(self.currentSegmentID())
        ids = self.segmentationNode().GetSegmentation().GetSegmentIDs()
        self.setCurrentSegmentID(ids[0] if ids else "")

    def _onSelection(self, *_) -> None:
        selected = self._table.selectedSegmentIDs()
        if selected and selected[0] != self.currentSegmentID():
            self.setCurrentSegmentID(selected[0])

    def _update(self) -> None:
        """Show what the editor node says, and announce what changed since the last time."""
        segmentation, volume = self.segmentationNode(), self.sourceVolumeNode()
        if segmentation is not self._shown[0]:
            self._history.SetSegmentation(segmentation.GetSegmentation() if segmentation is not None else None)
            self._table.setSegmentationNode(segmentation)
            ids = segmentation.GetSegmentation().GetSegmentIDs() if segmentation is not None else ()
            if ids and self.currentSegmentID() not in ids:
                self._node.SetSelectedSegmentID(ids[0])
        self._history.SetMaximumNumberOfStates(self.maximumNumberOfUndoStates)
        self._segmentations.setCurrentNode(segmentation)
        self._volumes.setCurrentNode(volume)
        current = self.currentSegmentID()
        self._table.setSelectedSegmentIDs([current] if current else [])
        self._dress(segmentation is not None and not self.readOnly, volume is not None)
        before, self._shown = self._shown, (segmentation, volume, current)
        if before[0] is not segmentation:
            self.segmentationNodeChanged.emit(segmentation)
        if before[1] is not volume:
            self.sourceVolumeNodeChanged.emit(volume)
        if before[2] != current:
            self.currentSegmentIDChanged.emit(current)

    def _dress(self, editable: bool, hasVolume: bool) -> None:
        for widget in (self._segmentations, self._segmentationLabel):
            widget.setVisible(self.segmentationNodeSelectorVisible)
        for widget in (self._volumes, self._volumeLabel):
            widget.setVisible(self.sourceVolumeNodeSelectorVisible)
        active = self._node.GetActiveEffectName() if self._node is not None else ""
        order = self.effectNameOrder()
        for name, button in self._buttons.items():
            button.setVisible(name in order or self.unorderedEffectsVisible)
            button.setEnabled(editable and hasVolume)
            button.setChecked(name == active)
        for button in (self._add, self._remove):
            button.setVisible(self.addRemoveSegmentButtonsVisible)
            button.setEnabled(editable)
        self._dressUndo()

    def _dressUndo(self) -> None:
        editable = self.segmentationNode() is not None and not self.readOnly
        self._undo.setEnabled(editable and self._history.IsRestorePreviousStateAvailable())
        self._redo.setEnabled(editable and self._history.IsRestoreNextStateAvailable())


def _row(*widgets: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return layout
