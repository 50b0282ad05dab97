"""The node selectors follow the scene by the real widget's rules."""


import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer

import host


@pytest.fixture
def selector(scene):
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    widget.show()
    yield widget
    widget.delete()


def add(scene, name, kind="vtkMRMLScalarVolumeNode"):
    return scene.AddNewNodeByClass(kind, name)


def entries(selector):
    combo = selector.findChild(qt.QComboBox)
    return [combo.itemText(i) for i in range(combo.count) if combo.itemText(i)]


def test_a_selector_without_scene_is_disabled(scene):
    widget = slicer.qMRMLNodeComboBox()
    assert not widget.enabled
    widget.setMRMLScene(scene)
    assert widget.enabled
    widget.delete()
    add(scene, "after its end")


def test_without_none_some_node_is_always_selected(scene, selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("currentNodeChanged(bool)", seen.append)
    first, second = add(scene, "first"), add(scene, "second")
    assert selector.currentNode() is first
    assert seen == [first, True]
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert seen[-1] is False


def test_with_none_nothing_selects_itself(scene, selector):
    selector.noneEnabled = True
    selector.noneDisplay = "Choose one"
    node = add(scene, "node")
    assert selector.currentNode() is None
    host.choose(selector, "node")
    assert selector.currentNode() is node
    host.choose(selector, "Choose one")
    assert selector.currentNodeID == ""


def test_selectors_list_what_they_should(scene, selector):
    selector.addEnabled = selector.removeEnabled = False
    add(scene, "labels", "vtkMRMLLabelMapVolumeNode")
    add(scene, "model", "vtkMRMLModelNode")
    hidden = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    hidden.UnRegister(None)
    hidden.SetName("hidden")
    hidden.SetHideFromEditors(True)
    scene.AddNode(hidden)
    plain = add(scene, "plain")
    assert entries(selector) == ["labels", "plain"]
    selector.showChildNodeTypes = False
    assert entries(selector) == ["plain"]
    selector.showHidden = True
    assert entries(selector) == ["hidden", "plain"]
    selector.showHidden = False
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", "map")
    assert entries(selector) == []
    plain.SetAttribute("kind", "map")
    assert entries(selector) == ["plain"]
    plain.SetName("renamed")
    assert entries(selector) == ["renamed"]


def test_a_selectors_menu_adds_renames_and_deletes(scene, selector):
    selector.baseName = "Result"
    selector.renameEnabled = True
    added = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", added.append)
    host.choose(selector, "Create new Volume")
    assert [node.GetName() for node in added] == ["Result"]
    assert selector.currentNode() is added[0]
    host.dialogs().answer("Better")
    host.choose(selector, "Rename current Volume")
    assert added[0].GetName() == "Better"
    host.choose(selector, "Delete current Volume")
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_a_removed_volume_is_freed(scene, selector):
    import weakref

    node = add(scene, "big")
    gone = weakref.ref(node)
    scene.RemoveNode(node)
    del node
    assert gone() is None
