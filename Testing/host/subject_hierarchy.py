"""Keeps the real subject hierarchy node up to date, as Slicer's Qt plugins do."""

import slicer
import vtk

_IN_TREE = (
    "vtkMRMLDisplayableNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLSequenceNode",
    "vtkMRMLSequenceBrowserNode",
)


def follow(scene) -> None:
    """Every visible data node gets an item, and loses it when it leaves the scene."""
    scene.AddObserver(scene.NodeAddedEvent, _onNodeAdded)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _onNodeRemoved)
    scene.AddObserver(scene.EndImportEvent, _onEndImport)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _onNodeAdded(scene, event, node):
    if not scene.IsImporting():
        _add(scene, node)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _onNodeRemoved(scene, event, node):
    if scene.IsClosing():
        return
    tree = _tree(scene)
    item = tree.GetItemByDataNode(node) if node is not tree else 0
    if item:
        tree.RemoveItem(item, False, False)


def _onEndImport(scene, event):
    for index in range(scene.GetNumberOfNodes()):
        _add(scene, scene.GetNthNode(index))


def _add(scene, node) -> None:
    if node.GetHideFromEditors() or not any(node.IsA(kind) for kind in _IN_TREE):
        return
    tree = _tree(scene)
    if not tree.GetItemByDataNode(node):
        tree.CreateItem(tree.GetSceneItemID(), node)


def _tree(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
