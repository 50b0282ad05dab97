"""Broken copies of the module must fail on the host: every connection of its .ui file removed, every signal misspelt,
properties called as methods, names that do not exist, keyword arguments. What passes here unnoticed would be found
by a person in Slicer."""

import ast
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
import slicer
from segmentation_panel import MODULE, ReadySetup, add_scan

import host

LIBRARY = MODULE / "KAFSegmentationLib"
UI = Path("Resources/UI/KAFSegmentation.ui")


class SilentClient:
    """A worker that starts, takes every request and never answers."""

    detail = ""

    def start(self):
        pass

    def submit(self, *_):
        return self

    def poll(self):
        return False

    def cancel(self):
        pass

    def close(self):
        pass


@pytest.fixture
def broken(library, heart, tmp_path):
    """Uses a copy of the module in which texts of one file were replaced; raises what a test would fail with."""
    ours = {name: found for name, found in sys.modules.items() if name.split(".")[0] == "KAFSegmentationLib"}
    path = list(sys.path)
    loaded = []

    def use(file=None, change=lambda text: text):
        folder = tmp_path / "KAFSegmentation"
        ignored = shutil.ignore_patterns("__pycache__", "kaf", "models")
        shutil.copytree(MODULE, folder, ignore=ignored)
        if file is not None:
            before = (folder / file).read_text(encoding="utf-8")
            after = change(before)
            assert after != before
            (folder / file).write_text(after, encoding="utf-8")
        for name in ours:
            sys.modules.pop(name, None)
        module = host.load_module(folder / "KAFSegmentation.py")
        loaded.append(module)
        module.source.KAFSegmentationWidget.makeSetup = ReadySetup
        walk(module, heart)
        check(folder)

    host.close_scene()
    host.dialogs().clear()
    host.take_errors()
    yield use
    for module in loaded:
        put_away(module)
    sys.path[:] = path
    for name, found in list(sys.modules.items()):
        if str(getattr(found, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.modules.update(ours)
    host.take_errors()
    host.close_scene()


def put_away(module):
    """Ends a module that may not be able to end itself: nothing of it may hear of the tests that follow."""
    widget = module.module._widget and module.widget
    if widget is not None:
        name = "moduleAboutToBeUnloaded(QString)"
        slicer.app.moduleManager().disconnect(name, widget._onModuleAboutToBeUnloaded)
        part = widget.segmentation
        for end in (part.exit, part.attention.exit, part.adaptation.close, part.logic.close, part.logic.removeObservers,
                    part.removeObservers):
            with suppress(Exception):
                end()
        part.parameters = part.attention.parameters = None
        part.adaptation.structures.parameters = part.adaptation.examples.parameters = None
        module.panel._entered = False
    module.unload()


def walk(module, heart):
    """What a person does first, and what must be seen then."""
    module.widget.logic.backend._makeClient = lambda **_: SilentClient()
    module.widget.logic.getParameterNode().modelName = "tiny"
    module.show()
    ui = module.ui
    for widget in vars(ui).values():
        if hasattr(widget, "mrmlScene"):
            assert widget.mrmlScene() is slicer.mrmlScene, f"{widget.name} has no scene"
    assert ui.forecastLabel.text == "Choose a scan to begin."
    add_scan(heart)
    host.choose(ui.inputSelector, "Heart")
    assert "tiny" in ui.modelComboBox.currentText
    ui.optionsGroupBox.checked = True
    ui.attentionSection.collapsed = False
    host.pump()
    host.choose(ui.viewComboBox, "Attention of the whole scan")
    host.check_errors()
    assert module.widget.logic.backend.isBusy()
    host.choose(ui.viewComboBox, "Nothing")
    module.panel.window().activateWindow()
    ui.applyButton.setFocus()
    host.press_key(ui.applyButton, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    host.check_errors()
    assert ui.applyButton.text == "Cancel"
    host.pump(50)
    from kaf.runtime.events import Progress

    module.widget.segmentation._onEvent(Progress("segmenting", 1, 2, 3.0))
    assert ui.progressBar.value == 500
    host.click(ui.applyButton)
    assert ui.applyButton.text == "Apply"
    ui.adaptSection.collapsed = False
    host.pump()
    host.click(ui.newStructureButton)
    host.click(ui.addExampleButton)
    host.check_errors()
    assert ui.structureList.item(0).text() == "New structure"
    assert ui.exampleList.count == 1
    ui.exampleList.setCurrentRow(0)
    host.click(ui.removeExampleButton)
    assert ui.exampleList.count == 0
    ui.adaptSection.collapsed = True
    ui.logSection.collapsed = False
    host.pump()
    host.click(ui.diagnoseButton)
    assert "Python: " in ui.logText.plainText
    module.leave()
    module.widget.logic.getParameterNode().modelName = "elsewhere"  # a scene of another computer
    module.show()
    assert ui.modelComboBox.currentText == "elsewhere (not on this computer)"
    module.leave()
    host.check_errors()


def check(folder):
    """What the lints would say."""
    sources = [folder / "KAFSegmentation.py", *sorted((folder / "KAFSegmentationLib").rglob("*.py"))]
    assert host.lint_ui(folder / UI, folder) == []
    assert host.lint_keyword_arguments(sources) == []
    assert host.lint_dialect(sources) == []


def connections():
    """The connections of the .ui file, each as its place in the text."""
    text = (MODULE / UI).read_text(encoding="utf-8")
    return [match.span() for match in re.finditer(r"\s*<connection>.*?</connection>", text, re.DOTALL)]


def signals():
    """(file, line, signal) of every ``connect("signal(...)", ...)``."""
    found = []
    for path in [MODULE / "KAFSegmentation.py", *sorted(LIBRARY.rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "connect" and node.args \
                    and isinstance(node.args[0], ast.Constant):
                found.append((str(path.relative_to(MODULE)), node.lineno, node.args[0].value))
    return found


def test_as_it_is_it_passes(broken):
    broken()
    assert len(connections()) >= 3
    assert len(signals()) > 15
    assert len(ElementTree.parse(MODULE / UI).findall(".//connection")) == len(connections())


def test_one_broken_copy_does_not_break_the_next(broken, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        broken("KAFSegmentation.py", lambda text: text.replace('"startupCompleted()"', '"startupComplete()"'))
    shutil.rmtree(tmp_path / "KAFSegmentation")
    broken()


@pytest.mark.parametrize("number", range(len(connections())))
def test_without_one_connection_of_the_ui_file(broken, number):
    start, end = connections()[number]
    with pytest.raises((AssertionError, host.NotClickable)):
        broken(UI, lambda text: text[:start] + text[end:])


@pytest.mark.parametrize(("file", "line", "signal"), signals())
def test_with_a_signal_that_does_not_exist(broken, file, line, signal):
    def misspell(text):
        lines = text.splitlines(keepends=True)
        lines[line - 1] = lines[line - 1].replace(f'"{signal}"', f'"{signal[0]}x{signal[1:]}"')
        return "".join(lines)

    with pytest.raises((ValueError, AttributeError, AssertionError), match="does not exist"):
        broken(file, misspell)


LIB = "KAFSegmentationLib"


@pytest.mark.parametrize(("file", "old", "new"), [
    # a property called as a method
    (f"{LIB}/widgets/MessageLine.py", "text == self._label.text and", "text == self._label.text() and"),
    (f"{LIB}/widgets/RunControls.py", "if self._button.enabled:", "if self._button.enabled():"),
    (f"{LIB}/segment/ModelSelector.py", "else self._combo.count - 1)", "else self._combo.count() - 1)"),
    (f"{LIB}/attention/AttentionPanel.py", "range(comboBox.count)", "range(comboBox.count())"),
    (f"{LIB}/segment/PreRunChecks.py", "bool(self._label.text)", "bool(self._label.text())"),
    (f"{LIB}/adapt/ExampleList.py", "count = self.ui.exampleList.count", "count = self.ui.exampleList.count()"),
    # a method written like a property
    (f"{LIB}/widgets/MessageLine.py", "self._frame.visible = False", "self._frame.setVisible = False"),
    (f"{LIB}/attention/AttentionPanel.py", "self.ui.viewComboBox.setCurrentIndex(VIEWS.index(view))",
     "self.ui.viewComboBox.setCurrentIndex = VIEWS.index(view)"),
    # a wrong name
    (f"{LIB}/widgets/RunControls.py", "self._bar.maximum = 1000", "self._bar.maximun = 1000"),
    (f"{LIB}/widgets/RunControls.py", "self._bar.format =", "self._bar.formatt ="),
    (f"{LIB}/widgets/RunControls.py", "self._button.toolTip =", "self._button.tooltip ="),
    (f"{LIB}/SegmentationWidget.py", "self.ui.framesCheckBox.enabled", "self.ui.framesCheckbox.enabled"),
    (f"{LIB}/SegmentationWidget.py", "qt.Qt.WidgetWithChildrenShortcut", "qt.Qt.WidgetAndChildrenShortcut"),
    (f"{LIB}/segment/ModelSelector.py", "self._combo.addItem(known", "self._combo.appendItem(known"),
    (f"{LIB}/adapt/StructureChoice.py", "segments.maximumHeight", "segments.maximalHeight"),
    (f"{LIB}/adapt/EmbeddedEditor.py", "editor.setEffectNameOrder", "editor.setEffectNamesOrder"),
    (f"{LIB}/scene/ScanSlices.py", "manager.sliceViewNames", "manager.sliceViewsNames"),
    # arguments by name, which PythonQt does not take
    (f"{LIB}/attention/AttentionPanel.py", "ui.viewComboBox.addItem(NAMES[view])",
     "ui.viewComboBox.addItem(text=NAMES[view])"),
    (f"{LIB}/SegmentationWidget.py", "shortcut.setContext(qt", "shortcut.setContext(context=qt"),
    # what PySide6 has and PythonQt has not
    (f"{LIB}/SegmentationWidget.py", "qt.Qt.WidgetWithChildren", "qt.Qt.ShortcutContext.WidgetWithChildren"),
    # the .ui file
    (str(UI), 'class="qMRMLNodeComboBox" name="inputSelector"', 'class="qMRMLNodeCombobox" name="inputSelector"'),
    (str(UI), 'name="applyButton"', 'name="aplyButton"'),
    (str(UI), "<string>inputVolume</string>", "<string>inputVolumes</string>"),
    # the module's own part in the dance
    ("KAFSegmentation.py", "uiWidget.setMRMLScene(slicer.mrmlScene)", "uiWidget.mrmlScene()"),
    ("KAFSegmentation.py", "self.segmentation.enter()\n\n", "pass\n\n"),
    (f"{LIB}/widgets/RunControls.py", 'self._button.text = "Cancel"', "pass"),
])  # fmt: skip
def test_what_would_fail_in_slicer_fails_here(broken, file, old, new):
    assert old in (MODULE / file).read_text(encoding="utf-8"), "the code has changed: mutate what it says now"
    with pytest.raises((AssertionError, AttributeError, TypeError, ValueError, host.NotClickable)):
        broken(file, lambda text: text.replace(old, new))
