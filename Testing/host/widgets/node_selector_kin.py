"""qMRMLColorTableComboBox and qMRMLCheckableNodeComboBox."""

from PySide6.QtCore import Qt, Signal

from .declare import standIn
from .node_selector import qMRMLNodeComboBox


@standIn
class qMRMLColorTableComboBox(qMRMLNodeComboBox):
    """A selector of colour tables."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.nodeTypes = ["vtkMRMLColorNode"]
        self.showHidden = True
        self.addEnabled = self.removeEnabled = False


@standIn
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """A selector in which several nodes can be checked."""

    checkedNodesChanged = Signal()

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._checked: list[str] = []
        self.addEnabled = self.removeEnabled = False

    def checkedNodes(self):
        return [node for node in map(self.nodeFromIndex, range(self.nodeCount())) if node.GetID() in self._checked]

    def uncheckedNodes(self):
        nodes = map(self.nodeFromIndex, range(self.nodeCount()))
        return [node for node in nodes if node.GetID() not in self._checked]

    def allChecked(self):
        return not self.uncheckedNodes()

    def noneChecked(self):
        return not self.checkedNodes()

    def checkState(self, node):
        return Qt.Checked if node.GetID() in self._checked else Qt.Unchecked

    def setCheckState(self, node, state):
        checked = state == Qt.Checked
        if checked == (node.GetID() in self._checked):
            return
        (self._checked.append if checked else self._checked.remove)(node.GetID())
        self.checkedNodesChanged.emit()

    def check(self, node):
        self.setCheckState(node, Qt.Checked)

    def uncheck(self, node):
        self.setCheckState(node, Qt.Unchecked)
