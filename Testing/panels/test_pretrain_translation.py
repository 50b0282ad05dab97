"""The panel of KAFPretrain in a language that puts every text in brackets: none of its own words is seen raw."""

import json
import re
from html import escape

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
from pretrain_panel import choose_folder, cpu_time, scan_folder, settings_file, settle, tiny_pretraining, wait_for_end
from pseudo_translation import LEFT, PseudoTranslation, raw, visible_texts

import host
from kaf.runs import start as jobs
from kaf.settings.methods import preset_files, registry

NAMES = ("KAF", "SimCLR", "MR", "tiny", "tuned", "weights", "first", "model", "broken", "images and labels", "run.json",
         "RV cavity", "myocardium", "LV cavity",
         "Random weights, for tests.", "CC0-1.0", "label 1", "label 2", "label 3", "unspecified")
SLICERS = ("QPlainTextEdit", "QLineEdit", "ctkPathLineEdit", "qMRMLPlotWidget")
"""Widgets whose contents are Slicer's, the user's or the log's."""

TENSORS = "loaded: "  # a tool tip of names of tensors
STAGE = re.compile(r"[A-Z][a-z ]+: (%p|\d+)%")  # what a process of kaf is doing, and how far it is


@pytest.fixture
def pseudo(makePretrain):
    """Opens the panel in brackets."""
    with PseudoTranslation("KAFSegmentation", "KAFPretrain"):
        yield makePretrain


class Collector:
    """What was raw at any step, apart from what kaf reports itself: in English, whatever the language of Slicer."""

    def __init__(self, module, folder):
        self.module, self.folder, self.found, self.steps = module, str(folder), {}, 0

    def look(self, step):
        self.steps += 1
        reported = [_plain(text) for text in self._reported()]
        for where, text in visible_texts(self.module.panel, SLICERS):
            left = "" if text.startswith(TENSORS) or STAGE.fullmatch(text) else raw(text, (*NAMES, *reported))
            if left:
                self.found.setdefault(f"{where}: {left}", step)

    def check(self):
        assert self.steps
        assert self.found == {}

    def _reported(self):
        panel = self.module.widget.pretraining
        yield self.folder
        for name, file in preset_files().items():
            about = str(_json(file).get("about", ""))
            yield from (name, f"{about[:1].upper()}{about[1:]}.")
        for method in registry().methods.values():
            yield from (method.info.title, method.info.description, method.info.trained)
        if panel.data.inspection is not None:
            for case in panel.data.inspection.cases:
                yield from (case.name, case.patient, case.label or "", *case.problems)
            yield from panel.data.inspection.problems
        for view in panel._views:
            yield from _of_run(view)
        yield from (note for scores in panel.evaluation.scores for note in scores.notes)
        yield from (choice["reason"] for choice in panel.selection._choices)
        for tab in panel._tabs:
            yield from (title for title in _items(tab.devices._combo) if re.match(r"(cpu|cuda:\d+|mps): ", title))


def _json(file):
    return json.loads(file.read_text(encoding="utf-8"))


def _items(combo):
    return [combo.itemText(index) for index in range(combo.count)]


def _of_run(view):
    """What the processes of a run have reported."""
    if view.job is None:
        return
    summary = view.summary
    yield from (view.job.folder.name, view.job.error, view.job.note, *summary.pictures)
    if view._pictures is not None:  # hidden titles of the run before, too
        yield from _items(view._pictures._combo)
    yield from (message.text for message in summary.messages)
    if summary.progress is not None:
        yield summary.progress.stage.capitalize()
    if summary.result is not None and "verdict" in summary.result:
        from kaf.modelfile.verdict import verdict_from

        yield verdict_from(summary.result["verdict"]).reason()


def _plain(text):
    """A text as it is seen once its markup has been taken away."""
    return re.sub(r"<[^<>]*>|&[a-z#0-9]+;", " ", escape(text)).replace("\n", " ") or "-"


def _start(module, tab, prefix, name, more):
    """Fills in a tab and presses Start; returns the view of the run."""
    ui = module.ui
    ui.tabs.setCurrentWidget(getattr(ui, f"{prefix}Tab"))
    getattr(ui, f"{prefix}SettingsSection").collapsed = False
    host.type_text(getattr(ui, f"{prefix}NameLineEdit"), name)
    getattr(ui, f"{prefix}FilePath").setCurrentPath(more)
    host.pump(20)
    host.click(getattr(ui, f"{prefix}StartButton"))
    return tab.run


def test_nothing_raw_is_seen_from_a_folder_to_an_evaluated_model(pseudo, hearts, runs, tmp_path):
    module = pseudo(runs=runs)
    ui, panel = module.ui, module.widget.pretraining
    seen = Collector(module, hearts)
    seen.look("opened")
    assert LEFT in ui.understoodLabel.text
    for path in (tmp_path / "nowhere", tmp_path):
        choose_folder(module, path)
        seen.folder = str(path)
        seen.look("a folder")
    seen.folder = str(hearts)
    scan_folder(module, hearts)
    seen.look("a scanned folder")
    ui.testShareSpinBox.value = 25
    host.pump(50)
    ui.selectionSection.collapsed = False
    panel.selection.model.choose(str(runs / "weights" / "model.safetensors"))
    host.click(ui.selectButton)
    seen.look("a suggestion under way")
    host.wait_until(lambda: not panel.selection.isRunning, "the suggestion", progress=cpu_time)
    seen.look("a suggestion")
    ui.presetComboBox.setCurrentIndex(ui.presetComboBox.count - 1)
    view = _start(module, panel.pretraining, "pretrain", "first", tiny_pretraining(tmp_path))
    seen.look("a pretraining")
    assert wait_for_end(view) == jobs.FINISHED
    seen.look("a finished pretraining")
    view._menu.update()
    assert [text for text in (view._menu.action(name).text for name in view._menu._actions) if raw(text)] == []
    ui.foldsSpinBox.value = 3
    seen.look("folds")
    ui.foldsSpinBox.value = 1
    view = _start(module, panel.finetuning, "finetune", "model", settings_file(tmp_path, steps=10, validate_every=0.5))
    assert wait_for_end(view) == jobs.FINISHED
    seen.look("a finished fine-tuning")
    view = _start(module, panel.finetuning, "finetune", "broken", settings_file(tmp_path, learning_rat=1))
    assert wait_for_end(view) == jobs.FAILED
    seen.look("a run that failed")
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    panel.evaluation.model.choose(str(runs / "tuned" / "model.safetensors"))
    host.click(ui.evaluateButton)
    host.wait_until(lambda: not panel.evaluation.isRunning, "the evaluation", progress=cpu_time)
    seen.look("an evaluation")
    seen.check()


def test_nothing_raw_is_asked_or_reported_about_files_models_and_runs(pseudo, runs, tmp_path):
    module = pseudo(runs=runs)
    ui, panel = module.ui, module.widget.pretraining
    settle(module)
    seen = Collector(module, tmp_path)
    for row in range(ui.modelsList.count):
        ui.modelsList.setCurrentRow(row)
        seen.look("a model")
    ui.tabs.setCurrentWidget(ui.modelsTab)
    host.pump(20)
    host.dialogs().answer(str(tmp_path / "out.safetensors"))
    host.click(ui.exportButton)
    seen.look("an exported model")
    asked = len(host.dialogs().texts())
    ui.modelsList.setCurrentRow([entry.name for entry in panel.models._entries].index("tiny"))
    host.dialogs().answer(qt.QMessageBox.Cancel)
    host.click(ui.deleteButton)
    panel.pretraining.run._menu.update()
    host.dialogs().answer(qt.QMessageBox.Cancel)
    panel.pretraining.run._menu.action("delete").trigger()
    assert [text for text in host.dialogs().texts()[asked:] if raw(text, (*NAMES, str(runs)))] == []
    assert len(host.dialogs().texts()) > asked
    seen.check()


def test_nothing_raw_is_seen_before_the_set_up(pseudo):
    from segmentation_panel import ReadySetup

    class MissingSetup(ReadySetup):
        ready = False

        def statusText(self):
            return ""

    module = pseudo(MissingSetup)
    seen = Collector(module, "")
    seen.look("set-up missing")
    assert module.ui.setUpFrame.visible
    seen.check()
