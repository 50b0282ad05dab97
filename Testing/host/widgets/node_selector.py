"""qMRMLNodeComboBox and its kin: choosing a node of the scene.

What is told is what the real widget tells, and its surprises with it: `currentNodeChanged` follows the text that is
shown, so that it comes again when the node is renamed and does not come when another node of the same name is chosen
(with Qt 6; `nodeActivated` tells of every choice of a person).  When the chosen node goes, the next one is chosen, with
"None" in the list or without.
"""

from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from .ctk_buttons import ctkComboBox
from .declare import standIn, stored
from .mrml_widget import parentIn
from .node_rows import ACTION, NodeRows


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
        self._scene = self._requested = None
        self._isSwitching = False
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._labels: dict[str, str] = {}
        self._rows = NodeRows(self, self._accepts)
        self._combo = ctkComboBox(self)
        self._combo.setModel(self._rows)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.currentTextChanged.connect(self._onText)
        self._combo.activated.connect(self._onActivated)
        self._combo.view().clicked.connect(self._onClicked)
        self._rows.rowsInserted.connect(self._onInserted)
        self._rows.rowsAboutToBeRemoved.connect(self._onAboutToBeRemoved)
        self._rows.rowsRemoved.connect(self._onRemoved)
        self.setEnabled(False)

    nodeTypes = stored("nodeTypes", "QStringList", [], "_filter")
    showHidden = stored("showHidden", bool, False, "_filter")
    showChildNodeTypes = stored("showChildNodeTypes", bool, True, "_filter")
    hideChildNodeTypes = stored("hideChildNodeTypes", "QStringList", [], "_filter")
    noneEnabled = stored("noneEnabled", bool, False, "_showNone")
    noneDisplay = stored("noneDisplay", str, "None", "_showNone")
    addEnabled = stored("addEnabled", bool, True, "_showActions")
    removeEnabled = stored("removeEnabled", bool, True, "_showActions")
    editEnabled = stored("editEnabled", bool, False, "_showActions")
    renameEnabled = stored("renameEnabled", bool, False, "_showActions")
    selectNodeUponCreation = stored("selectNodeUponCreation", bool, True)
    baseName = stored("baseName", str, "")
    interactionNodeSingletonTag = stored("interactionNodeSingletonTag", str, "Singleton")
    sizeAdjustPolicy = stored("sizeAdjustPolicy", int, 0)

    @Property(str, notify=currentNodeIDChanged)
    def currentNodeID(self):
        return self.currentNode().GetID() if self.currentNode() is not None else ""

    @currentNodeID.setter
    def currentNodeID(self, nodeID):
        self.setCurrentNodeID(nodeID)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        before, hadNodes = self._rows.idAt(self._combo.currentIndex), self.nodeCount() > 0
        self._scene = scene
        self._isSwitching = True
        self._rows.follow(scene)
        self._showNone()
        self._showActions()
        first = self.nodeFromIndex(0) if not self.noneEnabled else None
        wanted = before if hadNodes else self._requested or (first.GetID() if first is not None else "")
        self._requested = None
        self._combo.setCurrentIndex(-1)
        self.setCurrentNodeID(wanted)
        self._isSwitching = False
        self._onText()  # whatever is chosen now is told
        self.setEnabled(scene is not None)

    def addAttribute(self, nodeType, attributeName, attributeValue=None):
        if nodeType in self.nodeTypes:  # and one for each type: another one takes its place
            self._attributes[nodeType] = (attributeName, None if attributeValue is None else str(attributeValue))
            self._filter()

    def removeAttribute(self, nodeType, attributeName):
        if self._attributes.get(nodeType, ("", None))[0] == attributeName:
            del self._attributes[nodeType]
            self._filter()

    def setNodeTypeLabel(self, label, nodeType):
        self._labels[nodeType] = label
        self._showActions()

    def nodeTypeLabel(self, nodeType):
        if nodeType in self._labels:
            return self._labels[nodeType]
        return (self._scene.GetTypeDisplayNameByClassName(nodeType) if self._scene else "") or "node"

    def nodeCount(self):
        return self._rows.nodeCount()

    def nodeFromIndex(self, index):
        return self._node(index + bool(self.noneEnabled))

    def currentNode(self):
        return self._node(self._combo.currentIndex)

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID):
        if self._scene is None:
            self._requested = nodeID
        row = self._rows.rowOf(nodeID)
        none = 0 if self.noneEnabled and self._scene is not None else -1
        self._combo.setCurrentIndex(row if row >= 0 else none)

    def setCurrentNodeIndex(self, index):
        self._combo.setCurrentIndex((index if index < self.nodeCount() else -1) + bool(self.noneEnabled))

    def addNode(self, nodeType=None):
        nodeType = nodeType or next(iter(self.nodeTypes), None)
        if nodeType not in self.nodeTypes:
            return None
        node = self._scene.CreateNodeByClass(nodeType)
        node.UnRegister(None)
        if self.baseName or not node.GetName():
            node.SetName(self._scene.GetUniqueNameByString(self.baseName or node.GetDefaultNodeNamePrefix()))
        for name, value in self._attributes.values():
            node.SetAttribute(name, value or "")
        node = self._scene.AddNode(node)
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
            self.currentNodeRenamed.emit(name)

    def _node(self, row: int):
        nodeID = self._rows.idAt(row)
        return self._scene.GetNodeByID(nodeID) if self._scene is not None and nodeID else None

    def _accepts(self, node) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        for kind in self.nodeTypes:
            if not node.IsA(kind) or not (self.showChildNodeTypes or node.GetClassName() == kind):
                continue
            if self.showChildNodeTypes and any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
                return False
            name, value = self._attributes.get(kind, ("", None))
            found = node.GetAttribute(name) if name else None
            return not name or (found is not None and value in (None, found))
        return not self.nodeTypes

    def _filter(self) -> None:
        self._rows.filterAgain()
        self._showActions()

    def _showNone(self) -> None:
        self._rows.setNone(self.noneDisplay if self.noneEnabled else None)

    def _showActions(self) -> None:
        types = list(self.nodeTypes)
        label = self.nodeTypeLabel(types[0]) if len(types) == 1 else "node"
        actions = [(f"Rename current {label}", self.renameCurrentNode)] * self.renameEnabled
        actions += [(f"Edit current {label}", self.editCurrentNode)] * self.editEnabled
        if self.addEnabled:
            actions += [
                (f"Create new {self.nodeTypeLabel(kind)}", lambda kind=kind: self._addByUser(kind)) for kind in types
            ]
        actions += [(f"Delete current {label}", self.removeCurrentNode)] * self.removeEnabled
        chosen = self._combo.currentIndex
        self._rows.setActions(actions)
        self._combo.setCurrentIndex(chosen)
        self._combo.defaultText = f"Select a {self.nodeTypeLabel(next(iter(types), ''))}"

    def _addByUser(self, nodeType: str) -> None:
        node = self.addNode(nodeType)
        if node is not None:
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)

    def _onText(self, text: str = "") -> None:
        if self._isSwitching:
            return
        row, node = self._combo.currentIndex, self.currentNode()
        if node is None and row != (0 if self.noneEnabled else -1):  # on an entry that is no node, or on one that left
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _onActivated(self, row: int) -> None:
        node = self._node(row)
        if node is not None or (self.noneEnabled and row == 0):
            self.nodeActivated.emit(node)

    def _onClicked(self, index) -> None:
        action = index.data(ACTION)
        if action is not None:
            self._combo.hidePopup()
            action()

    def _onInserted(self, parent, first: int, last: int) -> None:
        node = self._node(first)
        if node is not None:
            self.nodeAdded.emit(node)

    def _onAboutToBeRemoved(self, parent, first: int, last: int) -> None:
        node = self._node(first)
        if node is not None:
            self.nodeAboutToBeRemoved.emit(node)

    def _onRemoved(self, *_) -> None:
        if self.currentNode() is None:
            self.setCurrentNode(None)


def innerComboBox(selector: qMRMLNodeComboBox) -> QComboBox:
    """The combo box that a person sees, for tests that choose an entry by its text."""
    return selector._combo
