"""Drives both panels in a Python that has Slicer's own packages and none of KAF's, with another Python that has them.

Prints what happened as JSON; test_slicers_python_panels.py runs it in a process of its own. Arguments: the other
Python, a model file, a scan (.npz of voxels and affine), a folder with a finished run, a folder to write to.
"""

import json
import sys
from pathlib import Path

from slicers_python import pretend

pretend("host", "slicer", "slicer_core", "qt", "ctk", "PySide6", "shiboken6", "mrml", "SampleData", "PyTorchUtils",
        "teem", "vtkAddon", "segmentation_panel", "drive_slicers_python", "ModuleInfo")

import host  # noqa: E402

host.start()

import numpy as np  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402
from segmentation_panel import MODULE, ReadySetup, run, segment_array, segments  # noqa: E402

from kaf.modelfile import library  # noqa: E402


class OtherPython(ReadySetup):
    """A set-up that is done, in a Python outside Slicer."""

    path = sys.argv[1]

    def python(self):
        return self.path


def segmentation(model, scan, reported):
    """Add a model, segment, adapt, save as model, remove."""
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = OtherPython
    module.show()
    ui = module.ui
    reported["own at first"] = offered(ui)
    host.dialogs().answer(str(model))
    host.click(ui.addModelButton)
    reported["added"] = ui.messageLabel.text
    node = slicer.util.addVolumeFromArray(scan["voxels"], name="Heart")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scan["affine"]))
    host.choose(ui.inputSelector, "Heart")
    result = run(module)
    reported["segmented"] = ui.messageLabel.text
    draw(result, node)
    ui.adaptSection.collapsed = ui.trainGroupBox.collapsed = False
    ui.adaptSecondsSlider.value = 1
    host.pump()
    host.click(ui.adaptButton)
    host.wait_until(lambda: ui.adaptButton.text == "Train", "the end of learning")
    reported["adapted"] = ui.adaptMessageLabel.text
    assert ui.saveModelButton.enabled, reported
    host.type_text(ui.modelNameEdit, "mine")
    host.click(ui.saveModelButton)
    reported["saved"] = ui.adaptMessageLabel.text
    reported["own at last"] = offered(ui)
    return module


def draw(result, node):
    """Rubs out a part of every structure in two slices."""
    for name, key in segments(result).items():
        mask = segment_array(result, name, node)
        mask[1:3, :20] = False
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), result, key, node)


def offered(ui):
    combo = ui.modelComboBox
    return [combo.itemText(row) for row in range(combo.count)]


def pretraining(runs, out, reported):
    """The library's tab: what a run has made is there by itself; words on a card, export, delete, import."""
    qt.QSettings().setValue("KAFPretrain/RunsFolder", str(runs))
    module = host.load_module(MODULE.parent / "KAFPretrain" / "KAFPretrain.py")
    module.source.KAFPretrainWidget.makeSetup = OtherPython
    module.show(520, 1000)
    ui, tab = module.ui, module.widget.pretraining.models
    names = lambda: [entry.name for entry in tab._entries]  # noqa: E731
    host.wait_until(lambda: "tuned" in names(), "the model of the run in the library")
    reported["pretrain lists"] = names()
    ui.tabs.setCurrentWidget(ui.modelsTab)
    tab.refresh("mine")
    host.pump(20)

    def fill(dialog):
        dialog.findChild(qt.QLineEdit, "description").setText("For tests only")
        return qt.QDialog.Accepted

    host.dialogs().answer(fill)
    host.click(ui.editCardButton)
    reported["card"] = next(entry.card.description for entry in library.list_models() if entry.name == "mine")
    host.dialogs().answer(str(out / "out.safetensors"))
    host.click(ui.exportButton)
    host.dialogs().answer(qt.QMessageBox.Ok)
    host.click(ui.deleteButton)
    reported["after delete"] = names()
    host.dialogs().answer(str(out / "out.safetensors"))
    host.click(ui.importButton)
    host.wait_until(lambda: not tab.isImporting, "the import")
    reported["after import"] = names()
    reported["imported"] = ui.messageLabel.text
    return module


def main():
    _, model, scan, runs, out = map(Path, sys.argv[1:])
    reported = {}
    # What comes with KAF stays out of sight, so that this does not depend on it.
    library.bundled_folder = lambda: out / "nothing bundled"
    modules = [segmentation(model, np.load(scan), reported), pretraining(runs, out, reported)]  # Slicer has both loaded
    host.check_errors()
    print(json.dumps(reported))
    for module in modules:
        module.unload()


if __name__ == "__main__":
    main()
