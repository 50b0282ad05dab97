"""What the source of KAFPretrain must hold to, without opening it."""

import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from pretrain_panel import MODULE

import host

UI = MODULE / "Resources" / "UI" / "KAFPretrain.ui"
SOURCES = [MODULE / "KAFPretrain.py", *sorted((MODULE / "KAFPretrainLib").rglob("*.py"))]
NEEDS_TIP = {"QPushButton", "QToolButton", "QComboBox", "QSpinBox", "QDoubleSpinBox", "QLineEdit", "QCheckBox",
             "QTableWidget", "QListWidget", "QSlider", "QProgressBar", "QPlainTextEdit", "ctkPathLineEdit"}


def test_ui_file_and_code_belong_together():
    assert host.lint_ui(UI, MODULE) == []


def test_pythonqt_understands_the_code():
    assert host.lint_keyword_arguments(SOURCES) == []
    assert host.lint_dialect(SOURCES) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_slicer_never_imports_torch(path):
    text = path.read_text(encoding="utf-8")
    for word in ("torch", "pydantic", "kaf.settings.base", "kaf.settings.pretrain", "kaf.settings.finetune",
                 "kaf.verbs", "kaf.training"):
        assert f"from {word}" not in text
        assert f"import {word}" not in text


def test_every_widget_has_a_tool_tip():
    lacking = [node.get("name") for node in ET.parse(UI).iter("widget") if node.get("class") in NEEDS_TIP
               and not any(item.get("name") == "toolTip" for item in node.findall("property"))]
    assert lacking == []


def test_what_is_repeated_from_the_backend_is_the_same():
    """The panel may not import torch or pydantic, so it states a few things again."""
    from kaf.settings.pretrain import parse_method, preset_names
    from KAFPretrainLib.runs.MethodChoice import readPresets, weightsOf

    assert set(readPresets()) == set(preset_names())
    for preset in readPresets().values():
        assert weightsOf(preset["method"]) == parse_method(preset["method"])


def test_the_modules_own_test_passes(makePretrain):
    module = makePretrain()
    module.source.KAFPretrainTest().runTest()


def test_the_module_depends_on_the_first_one_and_says_what_it_is(makePretrain):
    module = makePretrain().module
    assert list(module.dependencies) == ["KAFSegmentation"]
    assert module.title == "KAF Pretrain"
    assert "Nothing leaves this computer" in module.helpText
    assert not module.icon.isNull()


def test_reload_takes_the_library_too(makePretrain):
    import sys

    module = makePretrain()
    before = {name: sys.modules[name] for name in ("KAFPretrainLib", "KAFSegmentationLib", "kaf")}
    module.reload()
    assert all(sys.modules[name] is not known for name, known in before.items())
    assert module.widget.pretraining.ui.tabs.count == 5
