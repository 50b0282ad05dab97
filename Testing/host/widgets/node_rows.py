"""The rows of a node selector: "None", the nodes of the scene that it wants, and what can be done below them.

A row is put in or taken out one at a time, as the scene changes, and Qt's combo box moves its choice by itself: what is
chosen after a node is gone is the row that takes its place.
"""

from functools import partial

import vtk
from PySide6.QtCore import QAbstractItemModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel

ID = Qt.UserRole  # of a node; nothing for the other rows
ACTION = Qt.UserRole + 1  # what an entry below the nodes does
_FIRST, _LAST = 10.0, -10.0  # priorities of the real widget's observers


class NodeRows(QStandardItemModel):
    """Follows a scene.

    Args:
        accepts: a function that says whether a node is wanted.
    """

    def __init__(self, parent, accepts):
        super().__init__(parent)
        self._accepts, self._scene = accepts, None
        self._observed: list[tuple[object, int, int]] = []  # one list for life: it outlives the widget
        parent.destroyed.connect(partial(forget, self._observed))
        self._before, self._after = 0, 0

    def follow(self, scene) -> None:
        """Lists the nodes of another scene, or of none."""
        forget(self._observed)
        self._scene = scene
        self._before = self._after = 0
        self.removeRows(0, self.rowCount())
        if scene is None:
            return
        self._observe(scene, scene.NodeAddedEvent, self._onAdded, _FIRST)
        self._observe(scene, scene.NodeAboutToBeRemovedEvent, self._onAboutToBeRemoved, _LAST)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self._observe(scene, event, self._onReplaced)
        self._fill()

    def nodeCount(self) -> int:
        return self.rowCount() - self._before - self._after

    def idAt(self, row: int) -> str:
        item = self.item(row)
        return (item.data(ID) or "") if item is not None else ""

    def rowOf(self, nodeID: str) -> int:
        return next((row for row in range(self.rowCount()) if nodeID and self.idAt(row) == nodeID), -1)

    def setNone(self, text: str | None) -> None:
        """The entry that stands for no node, or none such."""
        self.removeRows(0, self._before)
        self._before = 0
        if text is not None and self._scene is not None:
            self.insertRow(0, [QStandardItem(text)])
            self._before = 1

    def setActions(self, actions: list[tuple[str, object]]) -> None:
        """The entries below the nodes; they can be clicked and not chosen."""
        self.removeRows(self.rowCount() - self._after, self._after)
        self._after = 0
        if self._scene is None:
            return
        for text, action in [("", None)] * bool(actions) + actions:
            item = QStandardItem(text)
            item.setFlags(Qt.ItemIsEnabled)
            item.setData(action, ACTION)
            if action is None:
                item.setData("separator", Qt.AccessibleDescriptionRole)
            self.appendRow([item])
            self._after += 1

    def filterAgain(self) -> None:
        """What is wanted has changed."""
        if self._scene is not None:
            for index in range(self._scene.GetNumberOfNodes()):
                self._place(self._scene.GetNthNode(index))

    def _fill(self) -> None:
        for index in range(self._scene.GetNumberOfNodes()):
            self._place(self._scene.GetNthNode(index))

    def _place(self, node) -> None:
        """Puts the row of a node in, takes it out, or leaves it."""
        row, isWanted = self.rowOf(node.GetID()), self._accepts(node)
        if row >= 0 and not isWanted:
            self.removeRow(row)
        elif row < 0 and isWanted:
            item = QStandardItem(node.GetName())
            item.setData(node.GetID(), ID)
            self.insertRow(self._rowFor(node), [item])
            # A node that is hidden is not listened to: the widget does not see it appear.
            self._observe(node, vtk.vtkCommand.ModifiedEvent, self._onModified)

    def _rowFor(self, node) -> int:
        """Rows stand in the order of the scene."""
        order = {self._scene.GetNthNode(i).GetID(): i for i in range(self._scene.GetNumberOfNodes())}
        ids = [self.idAt(row) for row in range(self._before, self._before + self.nodeCount())]
        return self._before + sum(order.get(nodeID, -1) < order[node.GetID()] for nodeID in ids)

    def _observe(self, source, event, callback, priority=0.0) -> None:
        if (source, event) not in [(s, e) for s, e, _ in self._observed]:
            self._observed.append((source, event, source.AddObserver(event, callback, priority)))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAdded(self, scene, event, node):
        if not scene.IsImporting():
            self._place(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAboutToBeRemoved(self, scene, event, node):
        if scene.IsClosing():
            return
        gone = [entry for entry in self._observed if entry[0] is node]
        self._observed[:] = [entry for entry in self._observed if entry[0] is not node]
        forget(gone)
        row = self.rowOf(node.GetID())
        if row >= 0:
            self.removeRow(row)

    def _onReplaced(self, scene, event):
        """A scene was closed or imported: all rows go, and those that there are now come."""
        gone = [entry for entry in self._observed if entry[0] is not scene]
        self._observed[:] = [entry for entry in self._observed if entry[0] is scene]
        forget(gone)
        self.removeRows(self._before, self.nodeCount())
        self._fill()

    def _onModified(self, node, event):
        scene = self._scene
        if node.GetScene() is not scene or scene.IsClosing() or scene.IsImporting():
            return
        row = self.rowOf(node.GetID())
        if row >= 0 and self._accepts(node):
            self.item(row).setText(node.GetName() or "")
        else:
            self._place(node)


def forget(observed: list, *_) -> None:
    """Takes the observers of a list away."""
    for source, _, tag in observed:
        source.RemoveObserver(tag)
    observed.clear()


def isChoosable(model: QAbstractItemModel, row: int) -> bool:
    """Whether a row can be chosen, and not only clicked."""
    return bool(model.flags(model.index(row, 0)) & Qt.ItemIsSelectable)
