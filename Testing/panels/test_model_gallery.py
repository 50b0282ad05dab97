"""All models at a glance: pictures, a search by structure, what fits the scan first; files that are dropped; and a
question that names the model which would fit."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import numpy as np
import qt
from made_models import tiny_model
from PySide6.QtCore import QMimeData, QPoint, QPointF, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QPixmap
from PySide6.QtWidgets import QApplication
from segmentation_panel import press

import host
from kaf.imaging.labels import Label


@pytest.fixture
def models(library):
    """Two more models: for CT, and for the scan of these tests with a picture."""
    made = [tiny_model(library / "lung-ct.safetensors", seed=1, name="lung-ct", modality="CT", description="Lungs.",
                       labels=(Label(1, "left lung", (1, 2, 3)), Label(2, "right lung", (200, 2, 3)))),
            tiny_model(library / "other-heart.safetensors", seed=2, name="other-heart", description="Another heart.")]
    picture = QPixmap(20, 20)
    picture.fill(qt.QColor(0, 255, 0))
    made.append(library / "other-heart.png")
    picture.save(str(made[-1]))
    yield
    for path in made:
        path.unlink()


def gallery(panel, act):
    """Opens the gallery; ``act`` gets its list, its search line and its buttons by name."""

    def use(dialog):
        (names,) = dialog.findChildren(qt.QListWidget)
        (search,) = [edit for edit in dialog.findChildren(qt.QLineEdit) if edit.isVisible()]
        buttons = {button.text.replace("&", ""): button for button in dialog.findChildren(qt.QPushButton)}
        return act(names, search, buttons, dialog)

    host.dialogs().answer(use)
    host.click(panel.ui.modelGalleryButton)


def shown(names):
    return [names.item(row).text().split(" (")[0] for row in range(names.count) if not names.item(row).isHidden()]


def test_a_model_is_found_by_a_structure_and_chosen(panel, models, pictures):
    panel.widget.segmentation.refreshModels()

    def act(names, search, buttons, dialog):
        assert shown(names) == ["lung-ct", "other-heart", "tiny"]
        pictures(dialog, "gallery")
        host.type_text(search, "right LUNG")
        assert shown(names) == ["lung-ct"]
        assert not any(button.isVisible() for text, button in buttons.items() if "sample" in text)
        host.click(buttons["Use this model"])

    gallery(panel, act)
    assert panel.ui.modelComboBox.currentText == "lung-ct"


def test_nothing_found_and_cancel_change_nothing(panel, models):
    def act(names, search, buttons, dialog):
        host.type_text(search, "kidney")
        assert shown(names) == []
        assert not buttons["Use this model"].enabled
        host.click(buttons["Cancel"])

    gallery(panel, act)
    assert panel.ui.modelComboBox.currentText == "tiny"


def test_what_fits_the_scan_is_first_and_pictures_are_kept_or_drawn(panel, scan, models):
    from kaf.modelfile.library import list_models
    from KAFSegmentationLib.segment.ModelPictures import modelPicture

    def act(names, search, buttons, dialog):
        assert shown(names)[-1] == "lung-ct"
        assert names.item(0).text().endswith("Fits the chosen scan")
        assert names.item(2).text().endswith("Not made for the chosen scan")
        assert "Lungs." not in dialog.findChildren(qt.QLabel)[0].text
        host.click(buttons["Cancel"])

    gallery(panel, act)
    drawn = {entry.name: modelPicture(entry).toImage() for entry in list_models()}
    middle = {name: image.pixelColor(image.width() // 2, image.height() // 2).getRgb()[:3]
              for name, image in drawn.items()}
    assert middle["other-heart"] == (0, 255, 0)  # its own picture
    assert middle["lung-ct"] == (200, 2, 3)  # its last structure, innermost


def test_the_question_names_a_model_that_would_fit(panel, scan, models):
    panel.widget.segmentation.refreshModels("lung-ct")
    host.dialogs().answer(press("Choose other-heart"))
    host.click(panel.ui.applyButton)
    assert "other-heart was made for scans of this kind" in host.dialogs().texts()[-1]
    assert panel.ui.modelComboBox.currentText == "other-heart"
    assert panel.ui.applyButton.text == "Apply", "the person presses Apply again, having seen the other model"


def drop(panel, *paths):
    """Drags files over a button of the panel and lets them go; whether the panel took them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    over = QDragEnterEvent(QPoint(5, 5), qt.Qt.CopyAction, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
    let = QDropEvent(QPointF(5, 5), qt.Qt.CopyAction, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
    target = panel.ui.modelLabel.parent()
    while target is not None and not target.acceptDrops:
        target = target.parent()
    for event in (over, let):
        event.ignore()
        QApplication.sendEvent(target, event)
    host.pump(20)
    return over.isAccepted() and let.isAccepted()


def test_a_model_file_that_is_dropped_is_added_and_other_files_are_slicer_s(panel, library, tmp_path):
    path = tiny_model(tmp_path / "sent.safetensors", seed=3, name="knee")
    (tmp_path / "scan.nrrd").write_bytes(b"")
    try:
        assert not drop(panel, tmp_path / "scan.nrrd")
        assert drop(panel, path)
        assert panel.ui.modelComboBox.currentText == "knee"
        assert panel.ui.messageLabel.text == "Model added and chosen: knee."
        np.save(tmp_path / "no model.npy", np.zeros(2))
        (tmp_path / "no model.npy").rename(tmp_path / "none.safetensors")
        assert drop(panel, tmp_path / "none.safetensors")
        assert panel.widget.segmentation.message.level == "error"
    finally:
        (library / "knee.safetensors").unlink(missing_ok=True)
