"""The panel of KAFSegmentation in a language that puts every text in brackets: none of its own words is seen raw."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from pseudo_translation import LEFT, PseudoTranslation, raw, raw_texts
from segmentation_panel import ReadySetup, add_scan, settle

import host

NAMES = ("tiny-adapted", "tiny", "Heart segmentation", "Heart", "Flat", "Red", "RV cavity", "myocardium", "LV cavity",
         "Random weights, for tests.", "CC0-1.0", "PyTorch", "Ctrl+Return", "Missing.")
SLICERS = ("qMRMLNodeComboBox", "qMRMLSegmentEditorWidget", "QPlainTextEdit", "ctkSliderWidget", "QLineEdit",
           "qMRMLSegmentationShow3DButton")
"""Widgets whose contents are Slicer's, the user's or the log's. Tool tips and labels of sliders are in the .ui file."""


class MissingSetup(ReadySetup):
    """A set-up of this test's own words."""

    ready = False
    words = "Missing."


@pytest.fixture
def pseudo(make_panel):
    """Opens the panel in brackets."""
    with PseudoTranslation("KAFSegmentation"):
        yield make_panel


class Collector:
    """What was raw at any step."""

    def __init__(self, module):
        self.module, self.found, self.steps = module, {}, 0

    def look(self, step):
        self.steps += 1
        for text in raw_texts(self.module.panel, NAMES, SLICERS):
            self.found.setdefault(text, step)

    def check(self):
        assert self.steps
        assert self.found == {}


def test_nothing_raw_is_seen_from_the_first_look_to_an_adapted_model(pseudo, heart):
    module = pseudo()
    seen, ui = Collector(module), module.ui
    seen.look("no scan")
    assert LEFT in ui.forecastLabel.text
    flat = slicer.util.addVolumeFromArray(np.zeros((1, 4, 5), np.uint8), name="Flat")
    ui.inputSelector.setCurrentNode(flat)
    host.pump()
    seen.look("a scan that cannot be segmented")
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    for section in (ui.attentionSection, ui.adaptSection, ui.trainGroupBox, ui.logSection):
        section.collapsed = False
    ui.optionsGroupBox.checked = True
    host.pump()
    seen.look("a scan")
    for index in range(1, ui.deviceComboBox.count):
        ui.deviceComboBox.setCurrentIndex(index)
        seen.look("a device")
    ui.deviceComboBox.setCurrentIndex(1)  # the CPU
    host.click(ui.applyButton)
    seen.look("a run")
    host.wait_until(lambda: not module.logic.isRunning(), "the end of the run")
    seen.look("a result")
    for index in range(1, ui.viewComboBox.count - 1):
        ui.viewComboBox.setCurrentIndex(index)
        settle(module)
        seen.look("an overlay")
    host.click(ui.exportButton)
    seen.look("an exported overlay")
    ui.viewComboBox.setCurrentIndex(0)
    ui.adaptSecondsSlider.value = 1
    for button in (ui.findExamplesButton, ui.addExampleButton, ui.addExampleButton):
        host.click(button)
        seen.look("finished slices")
    host.wait_until(lambda: not module.logic.backend.isBusy(), "the update")
    seen.look("updated slices")
    host.click(ui.adaptButton)
    seen.look("learning")
    host.wait_until(lambda: not module.logic.isRunning(), "the end of learning")
    seen.look("an adapted model")
    host.click(ui.nextSliceButton)
    seen.look("the next slice")
    host.click(ui.newStructureButton)
    seen.look("a new structure")
    host.click(ui.undoButton)
    seen.look("undone")
    seen.check()


def test_nothing_raw_is_seen_before_the_set_up(pseudo):
    module = pseudo(MissingSetup)
    seen = Collector(module)
    seen.look("set-up missing")
    module.ui.logSection.collapsed = False
    host.pump()
    host.click(module.ui.diagnoseButton)
    seen.look("a report")
    seen.check()


def test_nothing_raw_is_said_by_the_set_up_itself(pseudo, tmp_path):
    from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs
    from KAFSegmentationLib.setup.SetupPlan import SetupPlan

    texts = []

    def read(question):
        texts.extend([question.text, question.informativeText, question.windowTitle,
                      *(button.text for button in question.buttons())])
        question.buttons()[-1].click()

    for state in ("missing", "old", "broken", "ok"):
        for packages in ((), ("monai>=1.4",), ("monai>=1.4", "psutil>=5.9")):
            plan = SetupPlan(state, packages, False, True)
            texts.append(plan.summary())
            host.dialogs().answer(read)
            SetupDialogs().askConsent(plan, str(tmp_path))
    names = (str(tmp_path), "PyTorch", "monai", "psutil", "GB", "MB", "KAF Segmentation")
    assert [text for text in texts if raw(text, names)] == []
    assert len(texts) == 12 + 4 * 3 * 7


def test_a_raw_text_is_found(pseudo):
    module = pseudo()
    assert raw_texts(module.panel, NAMES, SLICERS) == set()
    module.ui.messageLabel.text = "The model was saved."
    assert len(raw_texts(module.panel, NAMES, SLICERS)) == 1


@pytest.mark.parametrize(("text", "left"), [
    ("⟦Done in 1 s: RV cavity.⟧", ""), ("⟦a ⟦b⟧ c⟧", ""), ("tiny", ""), ("12.5 %", ""), ("Done: ⟦a⟧", "Done:"),
    ("<b>⟦a⟧</b>", ""), ("<b>Done</b>", "Done")])
def test_what_counts_as_raw(text, left):
    assert raw(text, NAMES) == left
