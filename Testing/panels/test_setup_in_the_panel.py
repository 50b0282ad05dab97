"""Set-up as the panel leads through it: what a restart of Slicer interrupted goes on by itself, once."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from segmentation_panel import ReadySetup
from setup_fakes import Bench

import host


class Interrupted(ReadySetup):
    """Slicer was restarted while it was at work."""

    ready = False

    def __init__(self):
        super().__init__()
        self.interrupted = True

    def run(self, parent=None):
        self.parent, self.ready = parent, True
        return super().run(parent)


def test_a_set_up_that_was_interrupted_goes_on_when_the_panel_opens(make_panel):
    panel = make_panel(Interrupted)
    host.pump()
    setup = panel.widget.logic.backend.setup
    assert setup.asked == 1
    assert setup.parent is panel.widget.segmentation._uiWidget  # its dialogs belong to the panel
    assert not panel.ui.setUpFrame.isVisible()
    assert panel.ui.messageLabel.text == "Ready."
    panel.leave()
    panel.show()
    host.pump()
    assert setup.asked == 1


def test_one_that_was_not_interrupted_waits_to_be_asked(make_panel):
    class Missing(ReadySetup):
        ready = False

    panel = make_panel(Missing)
    host.pump()
    assert panel.widget.logic.backend.setup.asked == 0
    assert panel.ui.setUpFrame.isVisible()


def test_nothing_happens_behind_another_module(make_panel):
    made = []

    class Later(Interrupted):
        def __init__(self):
            super().__init__()
            self.interrupted = False
            made.append(self)

    panel = make_panel(Later)
    panel.leave()
    made[0].interrupted = True
    panel.panel.enter()
    panel.leave()  # at once
    host.pump()
    assert made[0].asked == 0


def test_the_whole_way_over_a_restart(make_panel, tmp_path):
    bench = Bench(tmp_path, extension=False, restart=False)
    panel = make_panel(lambda: bench.setup)
    host.click(panel.ui.setUpButton)
    assert bench.steps == ["extension"]
    assert "restart Slicer" in panel.ui.setUpLabel.text
    panel.leave()
    panel.show()  # before the restart: nobody is bothered again
    host.pump()
    assert bench.steps == ["extension"]
    panel.leave()
    bench.installer.extension = True
    panel.widget.segmentation.setUp._setup = bench.again()  # what the next start of Slicer makes
    panel.show()
    host.pump()
    assert bench.steps == ["extension", "torch", "packages"]
    assert len(bench.dialogs.asked) == 1  # the answer from before the restart holds
    assert panel.ui.messageLabel.text == "Ready; uses PyTorch 2.8.0+cpu."
