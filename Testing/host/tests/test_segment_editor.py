"""Facts of qMRMLSegmentEditorWidget and qMRMLSegmentsTableView, read in Slicer's own sources."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer

import host


def add(scene, name, kind="vtkMRMLScalarVolumeNode"):
    return scene.AddNewNodeByClass(kind, name)


def make(scene, name="Segmentation", segments=("liver", "spleen")):
    """A segmentation with its reference volume."""
    volume = slicer.util.addVolumeFromArray(np.zeros((6, 7, 8), np.int16), name=f"{name} volume")
    node = add(scene, name, "vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for segment in segments:
        node.GetSegmentation().AddEmptySegment(segment, segment)
    return node, volume


@pytest.fixture
def segmentation(scene):
    return make(scene)


@pytest.fixture
def editor(scene):
    """An editor in the main window, as in Slicer."""
    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(scene)
    widget.setMRMLSegmentEditorNode(add(scene, "editor", "vtkMRMLSegmentEditorNode"))
    window = host.main_window()
    dock = qt.QDockWidget(window)
    dock.setWidget(widget)
    window.addDockWidget(qt.Qt.RightDockWidgetArea, dock)
    host.pump(50)
    yield widget
    widget.uninstallKeyboardShortcuts()
    widget.setMRMLSegmentEditorNode(None)
    window.removeDockWidget(dock)
    dock.deleteLater()
    window.hide()
    host.pump()


def test_its_state_is_in_the_editor_node(scene, segmentation, editor):
    node, volume = segmentation
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("spleen")
    editor.setActiveEffectByName("Paint")
    assert editor.currentSegmentID() == "spleen"
    assert editor.activeEffect().name == "Paint"
    editor.activeEffect().setParameter("BrushRelativeDiameter", 4)
    assert editor.mrmlSegmentEditorNode().GetAttribute("Paint.BrushRelativeDiameter") == "4"
    host.click(editor.findChild(qt.QToolButton, "Erase"))
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == "Erase"
    host.click(editor.findChild(qt.QToolButton, "NULL"))
    assert editor.activeEffect() is None


def test_a_segmentation_brings_its_volume_and_its_first_segment_and_puts_the_tool_away(scene, segmentation, editor):
    node, volume = segmentation
    other, otherVolume = make(scene, "Other", ("kidney",))
    editor.setSegmentationNode(node)
    assert (editor.sourceVolumeNode(), editor.currentSegmentID()) == (volume, "liver")
    editor.setActiveEffectByName("Paint")
    editor.setSegmentationNode(other)
    assert (editor.sourceVolumeNode(), editor.currentSegmentID()) == (otherVolume, "kidney")
    assert editor.activeEffect() is None


def test_a_volume_is_refused_as_long_as_there_is_no_segmentation(scene, editor, capfd):
    volume = add(scene, "volume")
    editor.setSourceVolumeNode(volume)
    assert editor.sourceVolumeNode() is None
    assert "need to set segment editor and segmentation nodes first" in capfd.readouterr().err


def test_the_source_volume_is_put_into_the_slice_views_unless_it_is_there(scene, segmentation, editor):
    node, volume = segmentation
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    mine = add(scene, "mine")
    composite.SetBackgroundVolumeID(mine.GetID())
    composite.SetForegroundVolumeID(volume.GetID())
    editor.setSegmentationNode(node)
    assert composite.GetBackgroundVolumeID() == mine.GetID()
    other, otherVolume = make(scene, "Other")
    editor.setSegmentationNode(other)
    assert composite.GetBackgroundVolumeID() == otherVolume.GetID()
    assert not composite.GetForegroundVolumeID()


def test_only_a_choice_in_the_list_is_told(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    told = []
    editor.connect("currentSegmentIDChanged(QString)", told.append)
    editor.setCurrentSegmentID("spleen")
    assert told == []
    editor.findChild(qt.QTableWidget).selectRow(0)
    assert told == ["liver"]
    assert editor.currentSegmentID() == "liver"


def test_segments_can_be_added_once_there_is_a_source_volume(scene, editor):
    node = add(scene, "empty", "vtkMRMLSegmentationNode")
    button = editor.findChild(qt.QPushButton, "AddSegmentButton")
    editor.setSegmentationNode(node)
    assert not button.isEnabled()
    editor.setSourceVolumeNode(slicer.util.addVolumeFromArray(np.zeros((6, 7, 8), np.int16)))
    assert not editor.findChild(qt.QToolButton, "Paint").isEnabled()  # nothing to paint into yet
    host.click(button)
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert editor.findChild(qt.QToolButton, "Paint").isEnabled()
    host.click(editor.findChild(qt.QPushButton, "RemoveSegmentButton"))
    assert node.GetSegmentation().GetNumberOfSegments() == 0


def test_undo_is_slicers_own_and_can_be_switched_off(scene, segmentation, editor):
    node, volume = segmentation
    editor.setSegmentationNode(node)
    undo = editor.findChild(qt.QToolButton, "UndoButton")
    assert not undo.isEnabled()
    editor.saveStateForUndo()
    drawn = np.zeros((6, 7, 8), np.uint8)
    drawn[2:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, "liver", volume)
    host.click(undo)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "liver", volume).sum() == 0
    editor.redo()
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "liver", volume).sum() == 112
    editor.maximumNumberOfUndoStates = 0
    editor.undoEnabled = True  # forgets what was saved
    editor.saveStateForUndo()
    assert not undo.isEnabled()


def test_locking_puts_the_tool_away_and_allows_none(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    editor.setActiveEffectByName("Paint")
    editor.readOnly = True
    assert editor.activeEffect() is None
    assert not editor.findChild(qt.QToolButton, "Paint").isEnabled()
    assert not editor.findChild(qt.QPushButton, "RemoveSegmentButton").isEnabled()


def test_the_first_of_the_effects_is_none(editor):
    editor.setEffectNameOrder(["Erase", "Paint"])
    editor.unorderedEffectsVisible = False
    assert editor.effectCount() == 3
    assert [editor.effectByIndex(index) and editor.effectByIndex(index).name for index in range(4)] == \
        [None, "Erase", "Paint", None]


def test_the_keys_are_those_of_the_main_window(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    editor.installKeyboardShortcuts()
    window = slicer.util.mainWindow()
    for key, effect in ((qt.Qt.Key_2, "Paint"), (qt.Qt.Key_4, "Erase"), (qt.Qt.Key_Escape, None),
                        (qt.Qt.Key_Space, "Erase"), (qt.Qt.Key_4, None)):
        host.press_key(window, key)
        assert (editor.activeEffect() and editor.activeEffect().name) == effect
    host.press_key(window, qt.Qt.Key_W)
    assert editor.currentSegmentID() == "spleen"
    editor.readOnly = True
    host.press_key(window, qt.Qt.Key_2)
    assert editor.activeEffect() is None
    editor.uninstallKeyboardShortcuts()
    editor.readOnly = False
    host.press_key(window, qt.Qt.Key_2)
    assert editor.activeEffect() is None


def test_undo_and_redo_have_keys_that_no_lock_stops(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    editor.installKeyboardShortcuts()
    editor.saveStateForUndo()
    segmentation[0].GetSegmentation().GetSegment("liver").SetName("other")
    editor.readOnly = True
    host.press_key(slicer.util.mainWindow(), qt.Qt.Key_Z)
    assert segmentation[0].GetSegmentation().GetSegment("liver").GetName() == "liver"


def test_a_shortcut_for_one_of_its_keys_takes_that_key_from_both(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    editor.installKeyboardShortcuts()
    editor.setActiveEffectByName("Paint")
    mine = []
    shortcut = qt.QShortcut(qt.QKeySequence("Esc"), editor)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", lambda: mine.append("Esc"))
    button = editor.findChild(qt.QToolButton, "Paint")
    host.press_key(button, qt.Qt.Key_Escape)
    assert (mine, editor.activeEffect().name) == ([], "Paint")


def test_an_effect_ends_placing_points(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    editor.setActiveEffectByName("Paint")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_when_its_segmentation_goes_it_takes_another_one_by_itself(scene, segmentation, editor):
    """Its selector has no entry for none."""
    other, _ = make(scene, "Other")
    editor.setSegmentationNode(segmentation[0])
    scene.RemoveNode(segmentation[0])
    assert editor.segmentationNode() is other
    scene.RemoveNode(other)
    assert editor.segmentationNode() is None


def test_without_an_editor_node_it_stays_as_it_is(scene, segmentation, editor):
    editor.setSegmentationNode(segmentation[0])
    editor.setMRMLSegmentEditorNode(None)
    editor.setSegmentationNode(make(scene, "Other")[0])
    editor.setActiveEffectByName("Paint")
    assert editor.mrmlSegmentEditorNode() is None
    assert editor.activeEffect() is None


def test_the_table_counts_all_segments_and_shows_those_that_are_not_hidden(scene, segmentation):
    node, _ = segmentation
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(scene)
    table.setSegmentationNode(node)
    seen = []
    table.selectionChanged.connect(lambda: seen.append(table.selectedSegmentIDs()))
    table.setSelectedSegmentIDs(["spleen"])
    table.setSelectedSegmentIDs(["spleen"])
    assert seen == [["spleen"]]
    table.setHideSegments(["spleen"])
    assert (table.segmentCount, table.displayedSegmentIDs()) == (2, ["liver"])
    table.setHideSegments([])
    node.GetSegmentation().RemoveSegment("liver")
    assert table.displayedSegmentIDs() == ["spleen"]
    table.tableWidget().item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert not node.GetDisplayNode().GetSegmentVisibility("spleen")
