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


def told(selector):
    """The list of nodes that are told from now on."""
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    return seen


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


def test_without_none_and_without_a_menu_the_first_node_is_chosen(scene, selector):
    selector.addEnabled = selector.removeEnabled = False
    seen = told(selector)
    first, second = add(scene, "first"), add(scene, "second")
    assert selector.currentNode() is first
    assert seen == [first]
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert seen == [first, second, None]


def test_with_its_menu_no_node_that_comes_later_chooses_itself(scene, selector):
    add(scene, "first")
    assert selector.currentNode() is None
    later = slicer.qMRMLNodeComboBox()
    later.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    later.setMRMLScene(scene)
    assert later.currentNode().GetName() == "first"  # it was there before
    later.delete()


def test_with_none_nothing_selects_itself(scene, selector):
    selector.noneEnabled = True
    selector.noneDisplay = "Choose one"
    node = add(scene, "node")
    assert selector.currentNode() is None
    host.choose(selector, "node")
    assert selector.currentNode() is node
    host.choose(selector, "Choose one")
    assert selector.currentNodeID == ""


def test_when_the_chosen_node_goes_the_next_is_chosen_even_with_none(scene, selector):
    """And it is told before the node has left the scene."""
    selector.noneEnabled = True
    first, second, third = (add(scene, name) for name in ("first", "second", "third"))
    selector.setCurrentNode(second)
    there = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: there.append(second.GetScene() is scene))
    seen = told(selector)
    scene.RemoveNode(second)
    assert (selector.currentNode(), there) == (third, [True])
    scene.RemoveNode(third)
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is None
    assert seen == [third, first, None]


def test_a_new_name_is_told_as_a_change_of_the_node(scene, selector):
    node = add(scene, "old")
    selector.setCurrentNode(node)
    seen = told(selector)
    node.SetName("new")
    assert seen == [node]


def test_another_node_of_the_same_name_is_not_told_but_by_its_activation(scene, selector):
    """With Qt 6, where a combo box tells of its text when that has changed."""
    first, second = add(scene, "T1"), add(scene, "T1")
    selector.setCurrentNode(first)
    seen, chosen = told(selector), []
    selector.connect("nodeActivated(vtkMRMLNode*)", chosen.append)
    combo = selector.findChild(qt.QComboBox)
    combo.setCurrentIndex(1)
    combo.activated.emit(1)
    assert selector.currentNode() is second
    assert (seen, chosen) == ([], [second])


def test_a_closed_scene_is_told_when_it_is_closed_and_an_imported_one_chooses_none(scene, selector, tmp_path):
    selector.noneEnabled = True
    node = add(scene, "node")
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    selector.setCurrentNode(node)
    seen = told(selector)
    scene.Import()
    assert (selector.currentNode(), seen) == (None, [None])
    selector.setCurrentNode(node)
    seen.clear()
    scene.Clear(0)
    assert (selector.currentNode(), seen) == (None, [None])


def test_the_scene_is_told_with_what_is_chosen_in_it(scene):
    node = add(scene, "node")
    for noneEnabled, chosen in ((True, None), (False, node)):
        widget = slicer.qMRMLNodeComboBox()
        widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        widget.noneEnabled = noneEnabled
        seen = told(widget)
        widget.setMRMLScene(scene)
        assert seen == [chosen]
        widget.delete()


def test_a_node_that_is_asked_for_before_there_is_a_scene_is_chosen_with_it(scene):
    add(scene, "first")
    second = add(scene, "second")
    widget = slicer.qMRMLNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setCurrentNode(second)
    widget.setMRMLScene(scene)
    assert widget.currentNode() is second
    widget.delete()


def test_a_node_that_was_hidden_is_not_seen_to_appear(scene, selector):
    node = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetName("hidden")
    scene.AddNode(node)
    node.SetHideFromEditors(False)
    node.Modified()
    assert "hidden" not in entries(selector)


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


def test_checkable_selector(scene):
    widget = slicer.qMRMLCheckableNodeComboBox()
    widget.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    widget.setMRMLScene(scene)
    first, second = add(scene, "a"), add(scene, "b")
    seen = []
    widget.connect("checkedNodesChanged()", lambda: seen.append(len(widget.checkedNodes())))
    widget.check(second)
    widget.check(second)
    widget.setCheckState(first, qt.Qt.Checked)
    assert seen == [1, 2]
    assert widget.allChecked()
    widget.uncheck(first)
    assert widget.checkedNodes() == [second]
    assert widget.uncheckedNodes() == [first]
