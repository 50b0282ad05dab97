"""From a fresh panel to a first heart: few clicks, a set-up that is declined is no error, and it goes on by itself."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer
from segmentation_panel import ReadySetup, run
from setup_fakes import Bench

import host


def test_two_clicks_from_an_empty_scene_to_a_segmented_heart(panel, pictures):
    assert panel.ui.sampleButton.isVisible()
    pictures(panel, "first-empty")
    host.click(panel.ui.sampleButton)
    assert panel.ui.inputSelector.currentNode().GetName() == "KAFHeart"
    assert not panel.ui.sampleButton.isVisible()
    assert run(panel).GetName() == "KAFHeart segmentation"


def test_a_sample_needs_the_set_up_and_asks_for_it(make_panel):
    class Missing(ReadySetup):
        ready = False

    panel = make_panel(Missing)
    host.click(panel.ui.sampleButton)
    assert panel.widget.logic.backend.setup.asked == 1
    assert panel.ui.inputSelector.currentNode() is None


def test_declining_is_no_error_and_is_said_once(make_panel, tmp_path):
    bench = Bench(tmp_path, extension=False, consent="")
    panel = make_panel(lambda: bench.setup)
    host.click(panel.ui.setUpButton)
    assert bench.steps == []
    assert "Nothing was installed" in panel.ui.setUpLabel.text
    assert not panel.ui.messageFrame.isVisible()
    assert bench.dialogs.reported == []


@pytest.mark.parametrize("pending", [True, False])
def test_slicer_opens_the_module_again_after_the_restart(make_panel, monkeypatch, pending):
    from KAFSegmentationLib.setup.AfterRestart import continueSetup
    from KAFSegmentationLib.setup.SetupSettings import SetupSettings

    make_panel()
    opened = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    SetupSettings().setPending(pending)
    continueSetup()
    assert opened == (["KAFSegmentation"] if pending else [])


def test_three_clicks_where_the_set_up_is_missing(make_panel):
    """Sample heart, Install in the question that it asks, Apply."""
    class Installing(ReadySetup):
        ready = False

        def run(self, parent=None):
            self.ready = True  # Install was pressed
            return super().run(parent)

    panel = make_panel(Installing)
    host.click(panel.ui.sampleButton)
    assert panel.widget.logic.backend.setup.asked == 1
    assert panel.ui.inputSelector.currentNode().GetName() == "KAFHeart"
    assert run(panel).GetName() == "KAFHeart segmentation"
