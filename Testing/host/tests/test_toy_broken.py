"""Broken copies of the toy module fail on the host as in Slicer, and the lints find them."""

from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from toy_module import TOY, add_volume, ui_file

import host


def test_a_removed_connection_leaves_the_selector_without_scene(load):
    connection = "<receiver>inputSelector</receiver>"
    text = ui_file(TOY).read_text(encoding="utf-8")
    start = text.rindex("<connection>", 0, text.index(connection))
    end = text.index("</connection>", start) + len("</connection>")
    module = load(ui=[(text[start:end], "")])
    module.show()
    assert module.ui.inputSelector.mrmlScene() is None
    assert not module.ui.inputSelector.enabled
    add_volume()
    with pytest.raises(host.NotClickable):
        host.choose(module.ui.inputSelector, "Head")
    assert any("inputSelector" in str(f) for f in host.lint_ui(ui_file(Path(module.module.path).parent)))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            '"clicked(bool)"',
            '"cliked(bool)"',
            "signal 'cliked(bool)' does not exist on QPushButton 'applyButton'",
        ),
        ('"clicked(bool)"', '"clicked(int)"', "signal 'clicked\\(int\\)' does not exist"),
        ("progressBar.visible = False", "progressBar.setVisible = False", "can not be overwritten"),
        ("progressBar.visible = False", "progressBar.shown = False", "'shown' does not exist"),
        ("progressBar.visible = False", "progresBar.visible = False", "has no attribute 'progresBar'"),
        ("progressBar.visible = False", "progressBar.visible()", "'bool' object is not callable"),
        ("progressBar.visible = False", "nameEdit.text()", "'str' object is not callable"),
        (
            "progressBar.visible = False",
            "inputSelector.setNoneEnabled(True)",
            "no attribute named 'setNoneEnabled'",
        ),
        (
            "progressBar.visible = False",
            "applyButton.text = qt.QSize()",
            "does not accept an object of type QSize",
        ),
        ("progressBar.visible = False", "progressBar.connect('valueChanged(int)', 3)", "not callable"),
    ],
)
def test_what_fails_in_slicer_fails_here(load, old, new, error):
    module = load(code=[(old, new)])
    with pytest.raises((AttributeError, TypeError, ValueError), match=error.replace("(bool)", r"\(bool\)")):
        module.show()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('class="ctkSliderWidget"', 'class="ctkSliderWidgett"', "no such widget class: ctkSliderWidgett"),
        ("<receiver>inputSelector<", "<receiver>inputSelektor<", "'inputSelektor', which does not exist"),
        ("mrmlSceneChanged(", "mrmlSceneChange(", "does not exist on qMRMLWidget"),
        ("<slot>setMRMLScene(", "<slot>setScene(", "no|does not exist on qMRMLNodeComboBox"),
    ],
)
def test_a_broken_ui_file_does_not_load_and_is_found_by_the_lint(load, old, new, error):
    module = load(ui=[(old, new)])
    with pytest.raises((ValueError, AttributeError), match=error):
        module.show()
    assert host.lint_ui(ui_file(Path(module.module.path).parent))


def test_the_lints_find_nothing_in_the_toy_and_what_is_wrong_in_others(tmp_path):
    assert host.lint_ui(ui_file(TOY), TOY) == []
    assert host.lint_keyword_arguments(TOY.rglob("*.py")) == []
    assert host.lint_dialect(TOY.rglob("*.py")) == []
    source = tmp_path / "bad.py"
    source.write_text(
        "import qt, slicer\n"
        "label = qt.QLabel(text='x')\n"
        "label.setText('y')\n"
        "label.setEnabled(enabled=True)\n"
        "slicer.util.errorDisplay('x', windowTitle='y')\n"
        "def use(self):\n"
        "    self.timer = qt.QTimer()\n"
        "    self.timer.start(msec=3)\n"
        "    self.ui.applyButton.setToolTip(text='x')\n"
        "    self.ui.aplyButton.click()\n"
        "    label.alignment = qt.Qt.AlignmentFlag.AlignLeft\n"
        "    label.alignment = qt.Qt.AlignLeft\n"
        "    self.ui.checkBox.connect('stateChanged(int)', use)\n"
        "    with qt.QSignalBlocker(label):\n"
        "        qt.QTimer.singleShot(0, label, use)\n",
        encoding="utf-8",
    )
    assert [finding.line for finding in host.lint_keyword_arguments([source])] == [2, 4, 8, 9]
    assert [finding.line for finding in host.lint_dialect([source])] == [11, 13, 14, 15]
    found = [finding.text for finding in host.lint_ui(ui_file(TOY), tmp_path)]
    assert found == [f"ui.{name} is not in ToyThreshold.ui" for name in ("aplyButton", "checkBox")]


def test_stand_ins_have_no_public_name_that_the_real_class_lacks():
    from host.lint.public_names import unknownNames

    assert unknownNames() == []
