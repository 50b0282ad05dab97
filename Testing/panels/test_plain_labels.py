"""Names of scans, models, files and structures come from others: they are shown as written, never read as HTML."""

import ast
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import pretrain_panel
import qt
import slicer
from adapt_panel import look_at, unfold
from made_models import tiny_model
from pretrain_panel import heart as small_heart
from pretrain_panel import scan_folder, write_volume
from segmentation_panel import MODULE, add_scan, run, segments

import host
from kaf.imaging.labels import Label
from kaf.runtime import events

HOSTILE = '<b>x</b><img src="nowhere.png">&lt;'
FILE_NAME = "<b>x<img src=nowhere.png>"  # what a file system takes
SOURCES = [path for module in (MODULE, pretrain_panel.MODULE) for path in [
    module / f"{module.name}.py", *sorted((module / f"{module.name}Lib").rglob("*.py"))]]
PLAIN = "PlainText.py"  # the one file that may touch what all others go round
RICH = {  # labels whose words are put together as rich text; what others wrote is escaped in it
    "KAFSegmentation": {"modelCardLabel", "modelLineLabel"},
    "KAFPretrain": {"understoodLabel", "problemsLabel", "pretrainStatusLabel", "finetuneStatusLabel", "transferLabel",
                    "finetuneForecastLabel", "evaluateHintLabel", "cardLabel"}}
BOXES = {"messageBox", "infoDisplay", "warningDisplay", "errorDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay",
         "confirmRetryCloseDisplay", "delayDisplay"}


@pytest.mark.parametrize("module", [MODULE, pretrain_panel.MODULE], ids=lambda module: module.name)
def test_every_label_says_how_its_text_is_read(module):
    formats = {}
    for label in ET.parse(module / "Resources" / "UI" / f"{module.name}.ui").iter("widget"):
        if label.get("class") == "QLabel":
            found = [item for item in label.findall("property") if item.get("name") == "textFormat"]
            formats[label.get("name")] = "".join(found[0].itertext()).strip() if found else "guessed by Qt"
    wanted = {name: f"Qt::{'Rich' if name in RICH[module.name] else 'Plain'}Text" for name in formats}
    assert formats == wanted
    assert RICH[module.name] <= set(formats)


def test_code_goes_the_plain_way():
    """Labels, tool tips and message boxes that are made in code: Qt reads as HTML whatever looks like it."""
    assert [fault for path in SOURCES for fault in faults(path)] == []


@pytest.mark.parametrize(("line", "fault"), [
    ("label = qt.QLabel(name)", "QLabel"), ("widget.toolTip = name", "tool tip"),
    ("widget.toolTip = f'Trained on {name}'", "tool tip"), ("item.setToolTip(name)", "tool tip"),
    ("box.setItemData(1, name, qt.Qt.ToolTipRole)", "tool tip"), ("slicer.util.errorDisplay(str(error))", "box"),
    ("box = qt.QMessageBox(parent)", "box"), ("qt.QMessageBox.warning(parent, title, name)", "box"),
    ("progress.setLabelText(name)", "tool tip"), ("qt.QToolTip.showText(place, name)", "tool tip")])
def test_the_lint_finds_what_it_looks_for(tmp_path, line, fault):
    path = tmp_path / "Some.py"
    path.write_text(line)
    (found,) = faults(path)
    assert fault in found
    path.write_text("widget.toolTip = 'words' if name else tip(name)\nbox.setItemData(1, tip(name), qt.Qt.ToolTipRole)")
    assert faults(path) == []


def faults(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if path.name == PLAIN:
            continue
        name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if name == "QLabel":
            found.append(f"{path.name}:{node.lineno}: a QLabel that is not made by plainLabel or richLabel")
        elif isBox(node, name) and not all(isinstance(value, ast.Constant) for value in node.args):
            found.append(f"{path.name}:{node.lineno}: a message box that is not made by {PLAIN}")
        elif name in ("setToolTip", "setLabelText", "showText") and not all(map(isSafe, node.args[-1:])):
            found.append(f"{path.name}:{node.lineno}: a tool tip or a dialog's label without tip()")
        elif name == "setItemData" and "ToolTipRole" in ast.dump(node) and not isSafe(node.args[1]):
            found.append(f"{path.name}:{node.lineno}: a tool tip without tip()")
        elif isinstance(node, ast.Assign):
            found += [f"{path.name}:{node.lineno}: a tool tip without tip()" for target in node.targets
                      for one, value in pairs(target, node.value)
                      if isinstance(one, ast.Attribute) and one.attr == "toolTip" and not isSafe(value)]
    return found


def isBox(node, name):
    isStatic = name in ("warning", "critical", "information", "question") and \
        getattr(node.func.value, "attr", "") == "QMessageBox"
    return isStatic or name in BOXES or name == "QMessageBox"


def pairs(target, value):
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(one, value) for one in (target.elts if isinstance(target, ast.Tuple) else [target])]


def isSafe(value):
    """Words of this file, or such that went through tip()."""
    if isinstance(value, ast.IfExp):
        return isSafe(value.body) and isSafe(value.orelse)
    if isinstance(value, ast.BoolOp):
        return all(map(isSafe, value.values))
    called = getattr(value.func, "id", "") if isinstance(value, ast.Call) else ""
    return isinstance(value, ast.Constant) or called in ("tip", "_")


def shown(widget):
    """(what it is, its text as a person sees it) of every label and tool tip in a widget; pictures are a fault."""
    found = []
    for child in [widget, *widget.findChildren(qt.QWidget)]:
        texts = [("toolTip", child.toolTip, qt.Qt.AutoText)]
        if child.className() == "QLabel":
            texts.append(("text", child.text, child.textFormat))
        if child.className() == "QTableWidget":
            texts += [("toolTip", child.item(row, column).toolTip(), qt.Qt.AutoText) for row in range(child.rowCount)
                      for column in range(child.columnCount) if child.item(row, column) is not None]
        found += [(f"{child.objectName}.{what}", seen(text, kind)) for what, text, kind in texts if text]
    return found


def seen(text, kind):
    if kind == qt.Qt.PlainText or (kind == qt.Qt.AutoText and not qt.Qt.mightBeRichText(text)):
        return text
    document = qt.QTextDocument()
    document.setHtml(text)
    assert "\N{OBJECT REPLACEMENT CHARACTER}" not in document.toPlainText(), f"a picture is loaded by: {text}"
    return document.toPlainText()


def whole(widget, *words):
    """Where these words are shown, letter by letter; where only a part of them is left, HTML has eaten the rest."""
    everywhere = shown(widget)
    for name, text in everywhere:
        assert "nowhere.png" not in text or any(word in text for word in words), f"{name}: {text}"
    return {name for name, text in everywhere if any(word in text for word in words)}


@pytest.fixture
def hostile(panel, heart, library):
    """A model, a scan and a segmentation with such names."""
    labels = (Label(1, HOSTILE, (1, 2, 3)), Label(2, "myocardium", (4, 5, 6)), Label(3, "LV cavity", (7, 8, 9)))
    path = tiny_model(library / "hostile.safetensors", labels=labels, version=HOSTILE, description=HOSTILE,
                      weights_licence=HOSTILE, training_data=HOSTILE)
    panel.leave()
    panel.show()
    add_scan(heart, HOSTILE)
    host.choose(panel.ui.inputSelector, HOSTILE)
    host.choose(panel.ui.modelComboBox, "hostile")
    yield panel
    path.unlink()


def test_card_and_messages_of_the_segmentation_panel(hostile, pictures):
    assert whole(hostile.panel, HOSTILE) == {"modelCardLabel.text", "modelLineLabel.toolTip"}
    run(hostile)
    assert "structureTable.toolTip" in whole(hostile.panel, HOSTILE)
    pictures(hostile, "plain-text")
    add_scan_of(2, "Second")
    host.choose(hostile.ui.inputSelector, "Second")
    host.choose(hostile.ui.outputSelector, f"{HOSTILE} segmentation")
    assert "forecastLabel.text" in whole(hostile.panel, HOSTILE)


def add_scan_of(seed, name):
    return add_scan(small_heart(seed)[0], name)


def test_errors_and_tool_tips_of_the_segmentation_panel(hostile):
    slicer.util.addVolumeFromArray(np.ones((1, 8, 8), np.float32), name=f"flat {HOSTILE}")
    host.choose(hostile.ui.inputSelector, f"flat {HOSTILE}")
    assert {"messageLabel.text", "applyButton.toolTip"} <= whole(hostile.panel, HOSTILE)


def box_of(widget, action):
    """The message box that an action brings up."""
    boxes = []

    def look(box):
        boxes.append((box.text, box.textFormat, box.informativeText))
        box.reject()

    host.dialogs().answer(look)
    action()
    (found,) = boxes
    return found


def test_questions_of_the_segmentation_panel(hostile, library):
    text, kind, _ = box_of(hostile, lambda: host.click(hostile.ui.removeModelButton))
    assert kind == qt.Qt.PlainText
    assert "hostile" in text
    node = run(hostile)
    volume = hostile.ui.inputSelector.currentNode()
    drawn = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    drawn[1, 3:9, 3:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segments(node)[HOSTILE], volume)
    run(hostile)
    drawn[2, 3:9, 3:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segments(node)[HOSTILE], volume)
    text, kind, _ = box_of(hostile, lambda: host.click(hostile.ui.undoButton))
    assert (HOSTILE in text, kind) == (True, qt.Qt.PlainText)


def test_the_section_correct_and_adapt(hostile):
    unfold(hostile)
    look_at(1, hostile.ui.inputSelector.currentNode())
    hostile.ui.adaptSecondsSlider.value = 1
    node = run(hostile)
    node.SetName(f"seg {HOSTILE}")
    node.GetSegmentation().RemoveAllSegments()
    node.GetSegmentation().AddEmptySegment("a", HOSTILE)
    host.choose(hostile.ui.learnComboBox, "New structures")
    host.click(hostile.ui.addExampleButton)
    host.click(hostile.ui.adaptButton)
    assert "adaptMessageLabel.text" in whole(hostile.panel, HOSTILE)


def test_what_set_up_says():
    from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs, consentText

    plan = SimpleNamespace(rows=lambda: [], downloadMegabytes=1, diskMegabytes=2, obstacle=f"No {HOSTILE}",
                           needsTorch=False, torchState="")
    assert HOSTILE in seen(consentText(plan, "there"), qt.Qt.RichText)
    assert HOSTILE in seen(consentText(plan, f"/home/{HOSTILE}"), qt.Qt.RichText)
    dialogs = SetupDialogs()
    text, kind, _ = box_of(None, lambda: dialogs.tell(f"{HOSTILE} cannot be used"))
    assert (HOSTILE in text, kind) == (True, qt.Qt.PlainText)
    dialogs.showBusy(f"Installs {HOSTILE}")
    try:
        assert whole(dialogs._busy, HOSTILE)
    finally:
        dialogs.hideBusy()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such file names")
def test_folders_and_patients_of_the_pretraining_panel(pretrain, tmp_path, pictures):
    folder = tmp_path / FILE_NAME
    for index in range(3):
        scan, labels = small_heart(index)
        name = f"p{index}{FILE_NAME}"
        write_volume(scan, folder / "images" / f"{name}.nii.gz")
        write_volume(labels, folder / "labels" / f"{name}.nii.gz")
    (folder / "labels" / f"p0{FILE_NAME}.nii.gz").write_bytes(b"no scan")
    (folder / "labels.json").write_text('{"1": "<b>x<img src=nowhere.png>"}')
    pretrain.ui.dataPath.setCurrentPath(str(folder / "not there"))
    pretrain_panel.settle(pretrain)
    assert "understoodLabel.text" in whole(pretrain.panel, FILE_NAME)
    scan_folder(pretrain, folder)
    where = whole(pretrain.panel, FILE_NAME)
    assert {"problemsLabel.text", "splitLabel.toolTip", "caseTable.toolTip"} <= where
    pictures(pretrain, "plain-text-pretrain")


def test_cards_runs_and_questions_of_the_pretraining_panel(makePretrain, library, runs, hearts):
    labels = (Label(1, HOSTILE, (1, 2, 3)), Label(2, "b", (4, 5, 6)), Label(3, "c", (7, 8, 9)))
    tiny_model(library / "hostile.safetensors", labels=labels, version=HOSTILE, description=HOSTILE,
               weights_licence=HOSTILE, training_data=HOSTILE, code_version=HOSTILE)
    module = makePretrain(runs=runs)
    ui, panel = module.ui, module.widget.pretraining
    ui.tabs.setCurrentWidget(ui.modelsTab)
    host.pump(50)
    names = [entry.name for entry in panel.models._entries]
    ui.modelsList.setCurrentRow(names.index("hostile"))
    assert whole(module.panel, HOSTILE) >= {"cardLabel.text"}
    text, kind, _ = box_of(module, lambda: host.click(ui.deleteButton))
    assert ("hostile" in text, kind) == (True, qt.Qt.PlainText)
    panel.message.show(f"{HOSTILE} was started.", "done")
    assert "messageLabel.text" in whole(module.panel, HOSTILE)
    view = panel.finetuning.run
    view.summary.error = events.Error(HOSTILE, HOSTILE, HOSTILE)
    scan_folder(module, hearts)
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    assert whole(module.panel, HOSTILE)


def test_what_a_run_says_of_itself():
    from kaf.runs import start as jobs
    from kaf.runtime import message_codes
    from kaf.runtime.events import Message
    from KAFPretrainLib.data.Inspection import FoundCase, Inspection
    from KAFPretrainLib.runs.RunMessages import statusText
    from KAFPretrainLib.runs.RunSummary import RunSummary

    job = SimpleNamespace(note=HOSTILE, error=HOSTILE, can_resume=False, verb="pretrain", is_foreign=False,
                          error_kind="")
    run_summary = RunSummary()
    run_summary.take(Message(f"3 patients {HOSTILE}", code=message_codes.DATASET))
    run_summary.take(Message(f"Forecast {HOSTILE}", code=message_codes.FORECAST))
    words = seen(statusText(job, jobs.FAILED, run_summary), qt.Qt.RichText)
    assert words.count(HOSTILE) == 4
    case = FoundCase(HOSTILE, HOSTILE, "a.nii", None, modality=HOSTILE, problems=(HOSTILE,))
    found = Inspection("/d", HOSTILE, (case,), problems=(HOSTILE,), labelNames={})
    assert seen(found.summary(), qt.Qt.RichText).count(HOSTILE) == 2
    assert seen(found.warning(), qt.Qt.RichText).count(HOSTILE) == 3


def test_what_was_taken_over_from_weights(tmp_path):
    import json

    from KAFPretrainLib.runs.TransferReport import transferReport
    from KAFSegmentationLib.widgets.PlainText import tip

    report = {"coverage": 0.5, "loaded": [HOSTILE], "skipped": [HOSTILE],
              **{kind: [] for kind in ("adapted", "missing", "unexpected")}}
    (tmp_path / "transfer.json").write_text(json.dumps(report))
    words, keys = transferReport(tmp_path)
    assert HOSTILE.split(".")[0] in seen(words, qt.Qt.RichText)
    assert seen(tip(keys), qt.Qt.AutoText).count(HOSTILE) == 2
