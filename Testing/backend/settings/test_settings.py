"""Settings: strict about names, with suggestions; frozen; every wrong file as a message."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import kaf.settings
from kaf.runtime.errors import SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import Settings, build, load_values
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import NormalisationSettings
from kaf.settings.run import RunSettings
from kaf.settings.segment import SegmentSettings

FOLDERS = {"data": "scans", "output": "run"}
RECIPES = sorted((Path(kaf.__file__).parent / "recipes").glob("*.json"))
MODULES = [f"kaf.settings.{found.name}" for found in pkgutil.iter_modules(kaf.settings.__path__)]
KINDS = sorted({kind for module in MODULES for kind in vars(importlib.import_module(module)).values()
                if isinstance(kind, type) and issubclass(kind, Settings)}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_what_it_is_as_a_message_of_its_user(kind):
    for name, item in kind.model_fields.items():
        words = item.description or ""
        assert len(words) > 5, f"{name} is not described"
        assert "canonical" not in words, f"{name}: {words}"


@pytest.mark.parametrize(("wrong", "right"), [
    ("learning_rat", "learning_rate"), ("epoch", "epochs"), ("weight-decay", "weight_decay"),
    ("Batch", "batch"), ("initfrom", "init_from"), ("validation_case", "validation_cases"), ("lables", "labels"),
])
def test_a_misspelt_setting_brings_the_nearest(wrong, right):
    with pytest.raises(SettingsError) as caught:
        build(FinetuneSettings, {**FOLDERS, wrong: 1}, "my.json")
    assert str(caught.value) == (f"my.json: unknown setting '{wrong}'; did you mean '{right}'?. "
                                 "See `kaf finetune --help` for every setting and its range.")
    assert caught.value.exit_code == 2


def test_a_setting_like_no_other_brings_them_all():
    with pytest.raises(SettingsError, match=r"unknown setting 'zzz'; known: kind, low, high\."):
        build(NormalisationSettings, {"zzz": 1})


def test_a_misspelt_setting_inside_another_is_found():
    with pytest.raises(SettingsError, match="network: unknown setting 'widht'; did you mean 'width'"):
        build(FinetuneSettings, {**FOLDERS, "network": {"widht": 8}})


@pytest.mark.parametrize(("values", "words"), [
    ({"learning_rate": 0}, "learning_rate: Input should be greater than 0"),
    ({"learning_rate": "fast"}, "learning_rate: Input should be a valid number"),
    ({"learning_rate": float("nan")}, "learning_rate: Input should be"),
    ({"batch": 0}, "batch: Input should be greater than or equal to 1"),
    ({"batch": 2.5}, "batch: Input should be a valid integer"),
    ({"ema": 1}, "ema: Input should be less than 1"),
    ({"slice_context": 5}, "slice_context: Input should be less than or equal to 4"),
    ({"slicing_axis": "transversal"}, "slicing_axis: Input should be 'auto', 'largest-spacing', 'axial'"),
    ({"device": "tpu"}, "device: String should match pattern"),
    ({"device": "cuda:x"}, "device: String should match pattern"),
    ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
    ({"name": ""}, "name: String should have at least 1 character"),
    ({"labels": {"one": "RV"}}, "labels.one.*: Input should be a valid integer"),
    ({"network": {"token_width": 10, "heads": 4}}, "network: token_width 10 is not a multiple of heads 4"),
    ({"network": {"width": 2}}, "network.width: Input should be greater than or equal to 4"),
    ({"normalisation": {"low": 60, "high": 40}}, "normalisation: high 40.0 must be above low 60.0"),
    ({"normalisation": {"low": -5}}, "normalisation: percentiles -5.0 and 99.5 must be between 0 and 100"),
    ({"normalisation": {"high": 300}}, "normalisation: percentiles 0.5 and 300.0 must be between 0 and 100"),
    ({"resume": True, "overwrite": True}, "resume and overwrite cannot be combined"),
])
def test_a_value_out_of_its_range_is_named(values, words):
    with pytest.raises(SettingsError, match=f"^settings: .*{words}"):
        build(FinetuneSettings, {**FOLDERS, **values})


def test_all_wrong_values_are_said_at_once():
    with pytest.raises(SettingsError) as caught:
        build(FinetuneSettings, {"data": "scans", "batch": 0, "clip": -1})
    named = sorted(part.split(":")[0] for part in caught.value.reason.split("; "))
    assert named == ["batch", "clip", "output"]


def test_settings_are_frozen():
    settings = FinetuneSettings(**FOLDERS)
    for change in ("batch", "labels", "unheard_of"):
        with pytest.raises(ValidationError):
            setattr(settings, change, 1)
    with pytest.raises(ValidationError):
        settings.augmentation.scale = 2.0
    assert settings == FinetuneSettings(**FOLDERS)


def test_the_json_of_settings_makes_the_same_settings_again():
    settings = FinetuneSettings(**FOLDERS, labels={1: "RV", 3: "LV"}, validation_cases=("p1",), epochs=2.5,
                                network=NetworkSettings(scales=(True, False, True, False)),
                                augmentation=AugmentationSettings(flips=(True, False)))
    assert build(FinetuneSettings, json.loads(json.dumps(settings.model_dump(mode="json")))) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings, "a worker of a pool gets the same"


def test_windows_may_reach_over_any_numbers():
    window = NormalisationSettings(kind="window", low=-1000, high=3000)
    assert (window.low, window.high) == (-1000.0, 3000.0)


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices(device):
    assert RunSettings(device=device).device == device


def test_the_decoder_is_as_wide_as_its_skips_make_it():
    assert NetworkSettings().resolved_decoder_width == 64
    assert NetworkSettings(fusion="none").resolved_decoder_width == 32
    assert NetworkSettings(fusion="copy", width=8).resolved_decoder_width == 16
    assert NetworkSettings(decoder_width=5).resolved_decoder_width == 5


def test_every_verb_knows_its_command():
    assert [kind.verb() for kind in (FinetuneSettings, SegmentSettings)] == ["finetune", "segment"]
    with pytest.raises(SettingsError, match=r"model: Field required.*`kaf segment --help`"):
        build(SegmentSettings, {})


@pytest.mark.parametrize(("content", "words"), [
    (b'{"batch": 4,}', r"is not valid JSON \(.*line 1 column"), (b"", "is not valid JSON"),
    (b'{"name": "\xff\xfe"}', "is not valid JSON"), (b"[1, 2]", "is not a JSON object"),
    (b"3", "is not a JSON object"), (b"null", "is not a JSON object"),
])
def test_a_file_that_is_no_settings_is_refused_as_a_message(tmp_path, content, words):
    path = tmp_path / "my.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        load_values(path)
    assert caught.value.subject == str(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"my\.json: cannot be read \(No such file"):
        load_values(tmp_path / "my.json")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_values(tmp_path)


def test_a_file_gives_its_values(tmp_path):
    (tmp_path / "my.json").write_text('{"labels": {"1": "Höhle"}, "batch": 4}', encoding="utf-8")
    settings = build(FinetuneSettings, FOLDERS | load_values(tmp_path / "my.json"))
    assert (settings.labels, settings.batch) == ({1: "Höhle"}, 4)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_come_with_kaf_are_sound(recipe):
    values = load_values(recipe)
    settings = build(FinetuneSettings, FOLDERS | values)
    assert recipe.stem in (settings.name, f"{settings.name}-longer")
    assert settings.labels
    assert settings.weights_licence != "unspecified"
    assert settings.training_data


def test_there_are_recipes():
    assert {path.stem for path in RECIPES} >= {"cardiac-mr-sax", "hippocampus-mr"}


def test_settings_and_events_need_no_torch():
    code = (f"import sys, {', '.join(MODULES)}, kaf.runtime.events, kaf.runtime.errors, kaf.modelfile.card; "
            "print([n for n in ('torch', 'monai', 'numpy', 'SimpleITK') if n in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(kaf.__file__).parents[1])})
    assert done.stdout.strip() == "[]"
