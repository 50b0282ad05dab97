"""Models come and go by the buttons beside the choice of a model; what is no model is refused with a message."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from made_models import tiny_model
from segmentation_panel import MODULE, hold_worker, run, segments, wait_for_run

import host
import kaf.modelfile.library
from kaf.runtime.errors import KafError


@pytest.fixture
def kept(library):
    """The files of the library; what a test adds is taken away."""
    before = {path.name: path.read_bytes() for path in library.iterdir()}
    yield before
    for path in library.iterdir():
        if path.name not in before:
            path.unlink()
    assert {path.name: path.read_bytes() for path in library.iterdir()} == before


@pytest.fixture
def file(kept, tmp_path):
    """A model that somebody sent."""
    return tiny_model(tmp_path / "sent by mail.safetensors", seed=1, name="knee", description="A knee.")


def add(panel, path):
    host.dialogs().answer(None if path is None else str(path))
    host.click(panel.ui.addModelButton)


def test_a_model_that_did_not_beat_doing_nothing_is_added_when_a_person_says_so(panel, kept, tmp_path):
    verdict = {"code": "no better", "patients": 2, "dice": 0.07, "constant": 0.31}
    path = tiny_model(tmp_path / "poor.safetensors", seed=1, name="poor", metrics={"verdict": verdict})
    host.dialogs().answer(str(path), qt.QMessageBox.Cancel)
    host.click(panel.ui.addModelButton)
    assert "0.070, and 0.310 with the same answer for every scan" in host.dialogs().texts()[-1]
    assert offered(panel) == ["tiny"]
    host.dialogs().answer(str(path), qt.QMessageBox.Ok)
    host.click(panel.ui.addModelButton)
    assert offered(panel) == ["poor", "tiny"]


def offered(panel):
    combo = panel.ui.modelComboBox
    return [combo.itemText(row) for row in range(combo.count)]


def test_a_file_is_added_chosen_and_segments(panel, scan, file, library, pictures):
    add(panel, file)
    assert host.dialogs().shown[-1].kind == "getOpenFileName"
    assert panel.ui.modelComboBox.currentText == "knee"
    assert offered(panel) == ["knee", "tiny"]
    assert panel.logic.getParameterNode().modelName == "knee"
    assert "A knee." in panel.ui.modelCardLabel.text
    assert panel.ui.messageLabel.text == "Model added and chosen: knee."
    assert file.is_file()
    pictures(panel, "model-added")
    node = run(panel)
    assert panel.ui.messageLabel.text.startswith("Done in "), panel.ui.messageLabel.text
    assert segments(node)


def test_the_same_file_again_is_only_chosen_and_another_of_that_name_gets_a_number(panel, file, library, tmp_path):
    add(panel, file)
    host.choose(panel.ui.modelComboBox, "tiny")
    add(panel, file)
    assert panel.ui.modelComboBox.currentText == "knee"
    assert panel.ui.messageLabel.text.startswith("This model is already in the list and is chosen now: knee.")
    other = tiny_model(tmp_path / "other.safetensors", seed=2, name="knee")
    add(panel, other)
    add(panel, other)
    assert panel.ui.modelComboBox.currentText == "knee-2"
    assert offered(panel) == ["knee", "knee-2", "tiny"]


def pickled(path, sound):
    path.write_bytes(pickle.dumps({"weights": [1.0]}, protocol=2))


def zipped(path, sound):
    path.write_bytes(b"PK\x03\x04" + bytes(60))


def damaged(path, sound):
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))


def rewritten(path, sound):
    path.write_bytes(sound.replace(b"A knee.", b"A hand."))


def cut(path, sound):
    path.write_bytes(sound[:100])


def without_card(path, sound):
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.zeros(2, np.float32)}, path)


@pytest.mark.parametrize(("spoil", "words"), [
    (pickled, "KAF never opens pickles"), (zipped, "KAF never opens pickles"), (damaged, "do not have the SHA-256"),
    (rewritten, "card that was changed after the model was written"), (cut, "is not a model file, or is damaged"),
    (without_card, "holds weights but no KAF model card"), (None, "cannot be opened")])
def test_what_is_no_model_is_refused_as_a_message(panel, file, library, tmp_path, spoil, words):
    path = tmp_path / "wrong.safetensors"
    if spoil is not None:
        spoil(path, file.read_bytes())
    add(panel, path)
    assert words in panel.ui.messageLabel.text
    assert panel.widget.segmentation.message.level == "error"
    assert offered(panel) == ["tiny"]
    assert panel.ui.modelComboBox.currentText == "tiny"
    assert [found.name for found in library.iterdir()] == ["tiny.safetensors"]
    with pytest.raises(KafError, match=words):
        panel.logic.addModel(path)


def test_nothing_is_chosen_in_the_dialog(panel, kept):
    before = panel.ui.messageLabel.text
    add(panel, None)
    assert offered(panel) == ["tiny"]
    assert panel.ui.messageLabel.text == before


def test_a_model_that_is_here_and_refused_says_why(panel, scan, file, library):
    """As a scene may name it that was saved before the file was spoiled."""
    add(panel, file)
    (library / "knee.safetensors").write_bytes(b"no model")
    panel.leave()
    panel.show()
    assert panel.ui.modelComboBox.currentText == "knee (cannot be used)"
    assert "knee.safetensors: is not a model file, or is damaged" in panel.ui.messageLabel.text
    assert not panel.ui.applyButton.enabled


def test_a_model_that_was_added_is_removed_after_a_question(panel, scan, file, library):
    add(panel, file)
    host.dialogs().answer(qt.QMessageBox.Cancel)
    host.click(panel.ui.removeModelButton)
    assert host.dialogs().texts()[-1] == \
        "Delete the model 'knee' from this computer? Its segmentations are kept."
    assert offered(panel) == ["knee", "tiny"]
    host.dialogs().answer(qt.QMessageBox.Ok)
    host.click(panel.ui.removeModelButton)
    assert offered(panel) == ["tiny"]
    assert panel.logic.getParameterNode().modelName == "tiny"
    assert panel.ui.messageLabel.text == "Model removed: knee."
    assert not (library / "knee.safetensors").exists()
    assert file.is_file()


def test_what_comes_with_kaf_stays(panel, file, tmp_path, monkeypatch):
    (tmp_path / "bundled").mkdir()
    tiny_model(tmp_path / "bundled" / "brought.safetensors", seed=3, name="brought")
    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: tmp_path / "bundled")
    panel.leave()
    panel.show()
    host.choose(panel.ui.modelComboBox, "brought")
    assert not panel.ui.removeModelButton.enabled
    assert panel.ui.removeModelButton.toolTip == "This model comes with KAF and cannot be removed"
    host.choose(panel.ui.modelComboBox, "tiny")
    assert panel.ui.removeModelButton.enabled


def test_not_while_it_is_at_work(panel, scan, kept):
    hold_worker(panel)
    host.click(panel.ui.applyButton)
    assert not panel.ui.removeModelButton.enabled
    assert panel.ui.removeModelButton.toolTip == "Wait until the run has finished"
    host.click(panel.ui.applyButton)
    wait_for_run(panel)
    assert panel.ui.removeModelButton.enabled


def test_where_questions_answer_themselves_nothing_is_asked_and_nothing_removed(panel, kept, monkeypatch):
    monkeypatch.setattr(slicer.util, "mainWindow", lambda *_, **__: None)
    host.click(panel.ui.removeModelButton)
    host.click(panel.ui.addModelButton)
    assert host.dialogs().shown == []
    assert offered(panel) == ["tiny"]


def test_a_script_adds_a_model_without_window_and_torch(file, library):
    """In a process of its own: what was imported before would hide what this needs."""
    code = (
        f"import sys; sys.path[:0] = [{str(MODULE)!r}, {str(MODULE.parent / 'Testing')!r}]\n"
        "import host; host.start(mainWindow=False)\n"
        "from KAFSegmentationLib import SegmentationLogic\n"
        f"entry = SegmentationLogic().addModel({str(file)!r})\n"
        "print(entry.name, entry.path.is_file(), 'torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=2 * host.PATIENCE)
    assert done.stdout.splitlines()[-1:] == ["knee True False"], done.stderr
    assert (library / "knee.safetensors").is_file()
