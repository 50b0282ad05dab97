"""The codes of the included models' structures, read by Slicer's own terminology logic."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "KAFSegmentation"))

import host

host.start()

import slicer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "KAFSegmentation" / "KAFSegmentation.py"
FILE = ROOT / "KAFSegmentation" / "Resources" / "KAFSegmentation.term.json"
CONTEXT = "Segmentation category and type - KAF models"
RECIPES = sorted((ROOT / "KAFSegmentation" / "kaf" / "recipes").glob("*.json"))


@pytest.fixture(scope="module")
def logic():
    made = slicer.vtkSlicerTerminologiesModuleLogic()
    assert made.LoadTerminologyFromFile(str(FILE)) == CONTEXT
    return made


def known():
    """(type code, modifier code or nothing) of everything in the file."""
    (category,) = json.loads(FILE.read_text(encoding="utf-8"))["SegmentationCodes"]["Category"]
    assert category["CodeValue"] == "123037004"
    found = {}
    for kind in category["Type"]:
        found[kind["CodeValue"], ""] = kind["CodeMeaning"]
        for modifier in kind.get("Modifier", ()):
            found[kind["CodeValue"], modifier["CodeValue"]] = f"{modifier['CodeMeaning']} {kind['CodeMeaning']}"
    return found


def test_the_file_has_the_codes_of_dicom():
    """CID 7152 and 7153 of DICOM PS3.16, SNOMED's myocardium, and SNOMED's anterior and posterior."""
    assert known() == {
        ("87878005", ""): "Left ventricle", ("53085002", ""): "Right ventricle", ("74281007", ""): "Myocardium",
        ("5366008", ""): "Hippocampus", ("5366008", "255549009"): "Anterior Hippocampus",
        ("5366008", "255551008"): "Posterior Hippocampus",
    }  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_writes_into_its_model_is_an_entry_that_slicer_reads(logic, recipe):
    settings = json.loads(recipe.read_text(encoding="utf-8"))
    terminology = settings.get("terminology", {})
    if not terminology:
        pytest.skip("this recipe gives its structures no codes")
    assert set(terminology) == set(settings["labels"])
    for value, text in terminology.items():
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(text, entry)
        assert logic.SerializeTerminologyEntry(entry) == text
        assert entry.GetTerminologyContextName() == CONTEXT
        code = entry.GetTypeObject().GetCodeValue(), entry.GetTypeModifierObject().GetCodeValue() or ""
        assert code in known(), settings["labels"][value]


def test_slicer_knows_the_names_when_it_has_started(monkeypatch):
    fresh = slicer.vtkSlicerTerminologiesModuleLogic()
    monkeypatch.setattr(slicer.modules.terminologies, "_logic", fresh)
    kept = {name: found for name, found in sys.modules.items() if name.split(".")[0] in ("kaf", "KAFSegmentationLib")}
    module = host.load_module(MODULE)
    try:
        assert not fresh.IsTerminologyContextLoaded(CONTEXT)
        slicer.app.startupCompleted.emit()
        assert fresh.IsTerminologyContextLoaded(CONTEXT)
    finally:
        module.unload()
        sys.modules.update(kept)
        sys.path.insert(0, str(MODULE.parent))
    host.check_errors()


def test_a_slicer_without_terminologies_and_a_file_that_cannot_be_read(monkeypatch, tmp_path, caplog):
    from KAFSegmentationLib.scene import Terminology

    assert Terminology.loadTerminology() == CONTEXT
    monkeypatch.setattr(Terminology, "FILE", tmp_path / "not there.json")
    assert Terminology.loadTerminology() == ""
    assert "not there.json" in caplog.text
    monkeypatch.delattr(slicer.modules, "terminologies")
    assert Terminology.loadTerminology() == ""
