"""qMRMLNodeComboBox and its kin: choosing a node of the scene.

The rules are the real widget's: only nodes of the given classes and attributes, hidden nodes left out, "None"
first where it is allowed, otherwise some node is always selected as long as there is one, and no scene means
a disabled widget.
"""

from functools import partial

import vtk
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from .ctk_buttons import ctkComboBox
from .declare import standIn, stored
from .mrml_widget import parentIn

_ACTION = Qt.UserRole + 1  # what an entry below the separator does


@standIn
class qMRMLNodeComboBox(QWidget):
    """A combo box of the scene's nodes."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)

    def __init__(self, *arguments):
        super().__init__(parentIn(arguments))
        self._scene = None
        self._observers: list[tuple[object, int]] = []  # one list for life: it outlives the widget
        self.destroyed.connect(partial(_forget, self._observers))
        self._titles: dict[str, str] = {}
        self._attributes: dict[tuple[str, str], str | None] = {}
        self._labels: dict[str, str] = {}
        self._ids: list[str] = []
        self._announced = ""
        self._combo = ctkComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(self._onActivated)
        self.setEnabled(False)

    nodeTypes = stored("nodeTypes", "QStringList", [], "_refresh")
    showHidden = stored("showHidden", bool, False, "_refresh")
    showChildNodeTypes = stored("showChildNodeTypes", bool, True, "_refresh")
    hideChildNodeTypes = stored("hideChildNodeTypes", "QStringList", [], "_refresh")
    noneEnabled = stored("noneEnabled", bool, False, "_refresh")
    noneDisplay = stored("noneDisplay", str, "None", "_refresh")
    addEnabled = stored("addEnabled", bool, True, "_refresh")
    removeEnabled = stored("removeEnabled", bool, True, "_refresh")
    editEnabled = stored("editEnabled", bool, False, "_refresh")
    renameEnabled = stored("renameEnabled", bool, False, "_refresh")
    selectNodeUponCreation = stored("selectNodeUponCreation", bool, True)
    baseName = stored("baseName", str, "")
    interactionNodeSingletonTag = stored("interactionNodeSingletonTag", str, "")
    sizeAdjustPolicy = stored("sizeAdjustPolicy", int, 0)

    @Property(str, notify=currentNodeIDChanged)
    def currentNodeID(self):
        return self._announced

    @currentNodeID.setter
    def currentNodeID(self, nodeID):
        self.setCurrentNodeID(nodeID)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        _forget(self._observers)
        self._scene = scene
        self.setEnabled(scene is not None)
        if scene is not None:
            self._observe(scene, scene.NodeAddedEvent, self._onNodeAdded)
            self._observe(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
            for event in (scene.NodeRemovedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent):
                self._observe(scene, event, self._onSceneChanged)
            for index in range(scene.GetNumberOfNodes()):
                self._observe(scene.GetNthNode(index), vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
        self._refresh()

    def addAttribute(self, nodeType, attributeName, attributeValue=None):
        self._attributes[nodeType, attributeName] = None if attributeValue is None else str(attributeValue)
        self._refresh()

    def removeAttribute(self, nodeType, attributeName):
        self._attributes.pop((nodeType, attributeName), None)
        self._refresh()

    def setNodeTypeLabel(self, label, nodeType):
        self._labels[nodeType] = label
        self._refresh()

    def nodeTypeLabel(self, nodeType):
        if nodeType in self._labels:
            return self._labels[nodeType]
        return (self._scene.GetTypeDisplayNameByClassName(nodeType) if self._scene else "") or "node"

    def nodeCount(self):
        return len(self._ids)

    def nodeFromIndex(self, index):
        return self._scene.GetNodeByID(self._ids[index]) if 0 <= index < len(self._ids) else None

    def currentNode(self):
        return self._scene.GetNodeByID(self._announced) if self._scene and self._announced else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID):
        if nodeID in self._ids or not nodeID:
            self._select(nodeID or "")

    def setCurrentNodeIndex(self, index):
        self.setCurrentNode(self.nodeFromIndex(index))

    def addNode(self, nodeType=None):
        nodeType = nodeType or next(iter(self.nodeTypes), None)
        if nodeType not in self.nodeTypes:
            return None
        name = self._scene.GenerateUniqueName(self.baseName or self.nodeTypeLabel(nodeType))
        node = self._scene.AddNewNodeByClass(nodeType, name)
        for (owner, attribute), value in self._attributes.items():
            if owner == nodeType and value is not None:
                node.SetAttribute(attribute, value)
        self._refresh()
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self):
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def editCurrentNode(self):
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def renameCurrentNode(self):
        node = self.currentNode()
        if node is None:
            return
        name, accepted = QInputDialog.getText(self, "Rename", "New name:", text=node.GetName())
        if accepted and name:
            node.SetName(name)
            self._refresh()
            self.currentNodeRenamed.emit(name)

    def _accepts(self, node) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for kind in self.nodeTypes:
            matches = node.IsA(kind) if self.showChildNodeTypes else node.GetClassName() == kind
            if matches and not any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
                wanted = {name: value for (owner, name), value in self._attributes.items() if owner == kind}
                found = {name: node.GetAttribute(name) for name in wanted}
                if all(found[n] is not None and value in (None, found[n]) for n, value in wanted.items()):
                    return True
        return False

    def _observe(self, source, event, callback) -> None:
        self._observers.append((source, source.AddObserver(event, callback)))

    def _release(self) -> None:
        """Let go of nodes that left the scene, so that their data can be freed."""
        gone = [(s, tag) for s, tag in self._observers if s is not self._scene and s.GetScene() is None]
        self._observers[:] = [entry for entry in self._observers if entry not in gone]
        _forget(gone)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, scene, event, node):
        self._observe(node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
        if self._accepts(node) and not scene.IsBatchProcessing():
            self._refresh()
            self.nodeAdded.emit(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, scene, event, node):
        if node.GetID() in self._ids:
            self.nodeAboutToBeRemoved.emit(node)

    def _onSceneChanged(self, scene, event):
        self._release()
        if scene.IsClosing() or not scene.IsBatchProcessing():
            self._refresh()

    def _onNodeModified(self, node, event):
        """A new name or attribute may change the list; progress in a node's data does not."""
        if node.GetScene() is not self._scene:
            return
        listed = node.GetName() if self._accepts(node) else None
        if self._titles.get(node.GetID()) != listed:
            self._refresh()

    def _refresh(self) -> None:
        """List the nodes again and settle which one is selected."""
        scene = self._scene
        nodes = [] if scene is None else [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        nodes = [node for node in nodes if self._accepts(node)]
        self._titles = {node.GetID(): node.GetName() for node in nodes}
        self._ids = list(self._titles)
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        self._addActions()
        label = self.nodeTypeLabel(next(iter(self.nodeTypes), ""))
        self._combo.setPlaceholderText(f"Select a {label}")
        selected = self._announced
        if selected not in self._ids:
            selected = "" if self.noneEnabled or not self._ids else self._ids[-1 if selected else 0]
        self._select(selected)

    def _addActions(self) -> None:
        types = list(self.nodeTypes)
        label = self.nodeTypeLabel(types[0]) if len(types) == 1 else "node"
        actions = [(f"Rename current {label}", self.renameCurrentNode)] * self.renameEnabled
        actions += [(f"Edit current {label}", self.editCurrentNode)] * self.editEnabled
        if self.addEnabled:
            actions += [
                (f"Create new {self.nodeTypeLabel(kind)}", lambda kind=kind: self._addByUser(kind)) for kind in types
            ]
        actions += [(f"Delete current {label}", self.removeCurrentNode)] * self.removeEnabled
        if actions and self._scene is not None:
            self._combo.insertSeparator(self._combo.count)
            for text, action in actions:
                self._combo.addItem(text, None)
                self._combo.setItemData(self._combo.count - 1, action, _ACTION)

    def _addByUser(self, nodeType: str) -> None:
        node = self.addNode(nodeType)
        if node is not None:
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)

    def _onActivated(self, row: int) -> None:
        action = self._combo.itemData(row, _ACTION)
        if action is not None:
            self._showSelected()
            action()
            return
        self._select(self._combo.itemData(row) or "")
        self.nodeActivated.emit(self.currentNode())

    def _select(self, nodeID: str) -> None:
        changed = nodeID != self._announced
        self._announced = nodeID
        self._showSelected()
        if changed:
            node = self.currentNode()
            self.currentNodeChanged[object].emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(nodeID)

    def _showSelected(self) -> None:
        row = self._ids.index(self._announced) if self._announced in self._ids else -1
        self._combo.setCurrentIndex(row + 1 if self.noneEnabled else row)


def _forget(observers: list, *_) -> None:
    for source, tag in observers:
        source.RemoveObserver(tag)
    observers.clear()


def innerComboBox(selector: qMRMLNodeComboBox) -> QComboBox:
    """The combo box that a person sees, for tests that choose an entry by its text."""
    return selector._combo
