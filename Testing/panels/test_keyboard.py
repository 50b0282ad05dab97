"""Both modules by keyboard alone: Tab reaches everything in the order in which it is read, and nothing holds it."""

import itertools

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
from pretrain_panel import scan_folder
from PySide6.QtCore import QPoint
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from segmentation_panel import add_scan, wait_for_run

import host

_MOST = 120  # more than there are things to press


def begin(panel):
    """The panel has the keyboard."""
    window = panel.panel.window()
    window.activateWindow()
    host.wait_until(lambda: window.isActiveWindow, "the keyboard")
    panel.panel.focusNextChild()
    return window


def press(key, modifier=qt.Qt.NoModifier):
    host.press_key(QApplication.focusWidget(), key, modifier)


def walk(panel):
    """What has the keyboard, from one Tab to the next, until the first comes again."""
    window, seen = begin(panel), []
    for _ in range(_MOST):
        focus = QApplication.focusWidget()
        if focus in seen:
            return window, seen[seen.index(focus):]
        seen.append(focus)
        QTest.keyClick(focus, qt.Qt.Key_Tab)
    raise AssertionError("Tab never comes round")


def go_to(name):
    """Presses Tab until a widget, or what is inside it, has the keyboard."""
    trail = []
    for _ in range(_MOST):
        focus = QApplication.focusWidget()
        trail.append(focus)
        if name in (focus.objectName, focus.parent().objectName if focus.parent() else ""):
            return focus
        QTest.keyClick(focus, qt.Qt.Key_Tab)
    raise AssertionError(f"Tab does not reach {name}, but {[widget.objectName for widget in trail[-20:]]}")


def test_a_scan_is_segmented_shown_and_a_run_stopped_without_a_mouse(panel, heart):
    add_scan(heart, "Heart")
    add_scan(heart, "Other")
    begin(panel)
    go_to("inputSelector")
    press(qt.Qt.Key_Down)
    chosen = panel.ui.inputSelector.currentNode()
    assert chosen is not None
    press(qt.Qt.Key_M, qt.Qt.AltModifier)
    assert QApplication.focusWidget() is panel.ui.modelComboBox
    go_to("applyButton")
    press(qt.Qt.Key_Space)
    wait_for_run(panel)
    node = panel.ui.outputSelector.currentNode()
    assert node.GetName() == f"{chosen.GetName()} segmentation"
    go_to("structureTable")
    press(qt.Qt.Key_Down)
    go_to("show3DButton")
    press(qt.Qt.Key_Space)
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    press(qt.Qt.Key_Return, qt.Qt.ControlModifier)
    assert panel.ui.applyButton.text == "Cancel"
    press(qt.Qt.Key_Escape)
    assert panel.ui.applyButton.text == "Apply"


def test_tab_goes_down_the_panel_and_no_table_holds_it(pretrain, hearts):
    scan_folder(pretrain, hearts)
    ui = pretrain.ui
    for tab, names in (("dataTab", ("caseTable", "scanButton", "saveSplitButton")),
                       ("pretrainTab", ("presetComboBox", "kafCheckBox", "pretrainDeviceComboBox",
                                        "pretrainStartButton")),
                       ("finetuneTab", ("baseComboBox", "finetuneNameLineEdit", "finetuneStartButton"))):
        page = getattr(ui, tab)
        ui.tabs.setCurrentWidget(page)
        host.pump(20)
        window, order = walk(pretrain)
        reached = [widget for widget in order if page.isAncestorOf(widget)]
        assert set(names) <= {widget.objectName for widget in reached}, tab
        first = min(range(len(reached)), key=lambda index: reached[index].mapTo(window, QPoint()).y())
        heights = [widget.mapTo(window, QPoint()).y() for widget in reached[first:] + reached[:first]]
        assert all(below >= above - 12 for above, below in itertools.pairwise(heights)), (tab, heights)


def test_everything_that_can_be_pressed_is_reached(panel, scan):
    panel.ui.optionsGroupBox.checked = True
    host.pump(20)
    _window, order = walk(panel)
    reached = {widget.objectName for widget in order}
    buttons = {button.objectName for button in panel.panel.findChildren(qt.QPushButton)
               if button.isVisible() and button.isEnabled()}
    assert buttons <= reached
