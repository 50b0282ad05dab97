"""Settings of pretraining: the grammar of methods, presets below what is given, every wrong name as a message."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from kaf.cli.flags import parse
from kaf.cli.pretrain import PretrainCommand
from kaf.cli.pretrain import main as pretrain
from kaf.data.plan import compact_network
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.registry import method_class
from kaf.network import build_network
from kaf.runtime.errors import SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.base import Settings, build
from kaf.settings.methods import method_names, registry
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings, parse_method, preset_names, read_preset

FOLDERS = {"data": "scans", "output": "run"}
PRESETS = ("bim-acdc", "kaf-acdc", "kaf-bim-compact", "kaf-chd", "kaf-compact", "lrc", "mae-compact", "pcl-acdc")


def settings(**values):
    return build(PretrainSettings, {**FOLDERS, **values})


@pytest.mark.parametrize(("text", "weights"), [
    ("kaf", {"kaf": 1}), ("kaf+bim", {"kaf": 1, "bim": 1}), ("kaf+bim:0.1", {"kaf": 1, "bim": 0.1}),
    (" simclr:2 + lrc : 0.5 ", {"simclr": 2, "lrc": 0.5}), ('{"kaf": 1, "mae": 0.25}', {"kaf": 1, "mae": 0.25}),
    ({"pgl": 3}, {"pgl": 3}), ("kaf:1e-2+pcl", {"kaf": 0.01, "pcl": 1}), ("bim:0.12345678901", {"bim": 0.12345678901}),
])
def test_methods_are_joined_by_plus_and_weighed(text, weights):
    assert parse_method(text) == weights
    made = settings(method=text)
    assert made.weights == weights
    assert list(made.weights) == list(weights), "in the order given"
    assert settings(method=made.method) == made, "its text means the same again"
    assert build(PretrainSettings, json.loads(made.model_dump_json())) == made


@pytest.mark.parametrize(("method", "words"), [
    ("kfa", "unknown method 'kfa'; did you mean 'kaf'"), ("SimCLR", "did you mean 'simclr'"),
    ("moco", "unknown method 'moco'; known: kaf, pcl, simclr, pgl, lrc, bim, mae"), ("", "unknown method ''"),
    ("kaf+", "unknown method ''"), ("kaf+kaf:2", "method 'kaf' is named twice"),
    ("kaf:0", "the weight of 'kaf' must be a positive number, not '0'"), ("kaf:-1", "must be a positive number"),
    ("kaf:much", "not 'much'"), ("kaf:inf", "must be a positive number"), ("kaf:nan", "must be a positive number"),
    ({"kaf": None}, "must be a positive number"), ('{"kaf": 1', "is not valid JSON"), ({}, "names no method"),
    ("{}", "names no method"),
])
def test_a_wrong_method_is_reported(method, words):
    with pytest.raises(SettingsError, match=r"^settings: method: ") as caught:
        settings(method=method)
    assert words in str(caught.value)


def test_the_presets():
    assert set(preset_names()) >= set(PRESETS)
    assert all(len(about) > 20 for about in preset_names().values())
    with pytest.raises(SettingsError, match=r"preset kaf-acd: is not known\. Did you mean 'kaf-acdc'\?$"):
        settings(preset="kaf-acd")
    with pytest.raises(SettingsError, match=r"preset zzzzzz: is not known\. Known: bim-acdc, "):
        settings(preset="zzzzzz")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_its_network_and_its_heads(name):
    """Without memory: all that is built lies on the meta device."""
    made = settings(preset=name)
    values = read_preset(name)
    network = made.network or compact_network(2, made.slice_context)
    network = network.model_copy(update={"classes": 2})
    with torch.device("meta"):
        net = build_network(network)
        for method in made.weights:
            head = method_class(method)(getattr(made, method), network)
            assert all(hasattr(net, part) for part in head.trains)
    assert made.weights == parse_method(values["method"])
    assert bool(made.epochs) != bool(made.minutes)
    for key, value in values.items():
        if not isinstance(value, dict):
            assert getattr(made, key) == value, key
        else:
            for inner, each in value.items():
                got = getattr(getattr(made, key), inner)
                assert (list(got) if isinstance(got, tuple) else got) == each, f"{key}.{inner}"


def test_presets_of_papers_say_what_the_papers_say():
    """As published, or in the code that was published with them: KAF, PCL, BIM."""
    acdc, chd, pcl, bim = (settings(preset=name) for name in ("kaf-acdc", "kaf-chd", "pcl-acdc", "bim-acdc"))
    assert (acdc.kaf.theta, chd.kaf.theta, pcl.pcl.theta) == (0.35, 0.1, 0.35)
    assert (acdc.kaf.radius, chd.kaf.radius) == (30, 20)
    assert (acdc.neighbours, acdc.most_neighbours, chd.neighbours) == (0.18, 2, 0.05)
    for made in (acdc, chd):
        assert (made.kaf.image_weight, made.kaf.keypoint_weight, made.kaf.local_weight) == (1, 1, 0.01)
        assert (made.optimiser, made.learning_rate, made.weight_decay, made.batch) == ("sgd", 0.002, 1e-5, 32)
        assert (made.epochs, made.kaf.temperature, made.kaf.width, made.kaf.sinkhorn) == (51, 0.1, 512, 100)
        assert made.augmentation.intensity == 0
    assert (acdc.patch, acdc.spacing, acdc.network.width, acdc.network.blocks) == (352, 1.25, 48, 12)
    assert (chd.patch, chd.network.width, chd.network.blocks) == (512, 32, 16)
    assert (pcl.epochs, pcl.learning_rate, pcl.network.fusion) == (300, 0.1, "none")
    assert (bim.optimiser, bim.learning_rate, bim.weight_decay, bim.batch) == ("radam", 2e-4, 0, 18)
    assert (bim.bim.alpha, bim.bim.balance, bim.bim.gamma, bim.bim.window) == (0.5, 1.5, 0.75, 5)


def test_what_is_given_wins_over_the_preset():
    made = settings(preset="kaf-chd", batch=8, kaf={"theta": 0.2}, network=NetworkSettings(blocks=4), method="pcl")
    assert (made.batch, made.method) == (8, "pcl")
    assert (made.kaf.theta, made.kaf.radius) == (0.2, 20), "the rest of the preset's part stays"
    assert (made.network.blocks, made.network.width) == (4, 32)
    assert made.learning_rate == 0.002
    part = settings(preset="kaf-chd", kaf=KafSettings(theta=0.3)).kaf
    assert part == KafSettings(theta=0.3, radius=20, standardise=False)
    assert settings(preset="").network is None


def test_a_part_of_nested_settings_leaves_the_rest():
    """The defaults of pretraining, which are not those of the nested settings in general."""
    assert settings(simclr={"temperature": 0.2}).simclr.positives == "view"
    assert settings(pcl={"temperature": 0.2}).pcl.positives == "position"
    turned = settings(augmentation={"intensity": 0}).augmentation
    assert (turned.rotation, turned.flips, turned.intensity) == (45, (True, True), 0)
    assert settings(augmentation=AugmentationSettings(scale=1.1)).augmentation == AugmentationSettings(scale=1.1)
    assert settings(preset="bim-acdc").augmentation.elastic == 0


def test_a_budget_that_is_given_replaces_that_of_the_preset():
    assert (settings(preset="kaf-chd", minutes=5).epochs, settings(preset="kaf-chd", minutes=5).minutes) == (None, 5)
    longer = settings(preset="kaf-compact", epochs=400)
    assert (longer.epochs, longer.minutes) == (400, None)
    both = settings(preset="kaf-compact", epochs=400, minutes=60)
    assert (both.epochs, both.minutes) == (400, 60)
    assert settings(preset="kaf-compact", epochs=None).minutes == 30


def test_presets_on_the_command_line(tmp_path):
    """Flags over the JSON file over the preset, inside nested settings too."""
    def given(*flags):
        return parse(PretrainCommand, ["scans", "--output", "run", *flags], "pretrain").only(PretrainSettings)

    assert given("--preset", "kaf-chd") == settings(preset="kaf-chd")
    made = given("--preset", "kaf-chd", "--kaf.theta", "0.2", "--epochs", "3", "--network.width", "8")
    assert (made.kaf.theta, made.kaf.radius, made.epochs, made.network.width, made.network.blocks
            ) == (0.2, 20, 3, 8, 16)
    assert given("--preset=kaf-compact", "--epochs", "3").minutes is None
    assert given("--preset", "kaf-chd", "--augmentation.intensity", "1").augmentation.rotation == 180
    assert given("--simclr.temperature", "0.2").simclr.positives == "view"
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"preset": "kaf-chd", "kaf": {"theta": 0.3, "radius": 12}, "minutes": 4}))
    made = given("--settings", str(mine), "--kaf.theta", "0.2")
    assert (made.kaf.theta, made.kaf.radius, made.minutes, made.epochs, made.patch) == (0.2, 12, 4, None, 512)
    with pytest.raises(SettingsError, match=r"Did you mean 'kaf-acdc'\?"):
        given("--preset", "kaf-acd")
    assert given("--method", "kaf+bim:0.1").weights == {"kaf": 1, "bim": 0.1}
    assert given("--method", '{"kaf": 1, "bim": 0.1}').weights == {"kaf": 1, "bim": 0.1}
    with pytest.raises(SettingsError, match="did you mean 'bim'"):
        given("--method", "bmi")


@pytest.mark.parametrize(("values", "words"), [
    ({"kfa": {}}, "unknown setting 'kfa'; did you mean 'kaf'"),
    ({"kaf": {"thetta": 1}}, "kaf: unknown setting 'thetta'; did you mean 'theta'"),
    ({"kaf": {"token_width": 30}}, "kaf.token_width: Input should be a multiple of 4"),
    ({"batch": 1}, "batch: Input should be greater than or equal to 2"),
    ({"bim": {"alpha": 1.2}}, "bim.alpha: Input should be less than or equal to 1"),
    ({"mae": {"hidden": 1.0}}, "mae.hidden: Input should be less than 1"),
    ({"bim": {"window": 4}}, "bim.window: .*odd"),
    ({"resume": True, "overwrite": True}, "resume and overwrite cannot be combined"),
])
def test_a_wrong_value_is_named(values, words):
    with pytest.raises(SettingsError, match=words):
        settings(**values)


def test_every_method_has_its_settings():
    made = settings()
    assert made.simclr.positives == "view"
    assert (made.pcl.positives, made.kaf.positives) == ("position", "position")
    for name in method_names():
        assert isinstance(made.of(name), Settings)
    with pytest.raises(ValidationError):
        made.kaf.theta = 0.5


@pytest.mark.parametrize("name", method_names())
def test_every_setting_of_a_method_says_what_it_is(name):
    kind = type(registry().methods[name].settings())
    for setting, item in kind.model_fields.items():
        assert len(item.description or "") > 5, f"{kind.__name__}.{setting} is not described"


def kept(now, saved):
    """What is now in the places of saved settings, nested ones too."""
    return {name: kept(now[name], value) if isinstance(value, dict) else now[name] for name, value in saved.items()}


def test_settings_that_version_0_1_0_saved_still_open():
    """The settings.json of a run, before every method had a package of its own."""
    saved = json.loads(Path(__file__).with_name("pretrain-settings-0.1.0.json").read_text(encoding="utf-8"))
    made = build(PretrainSettings, saved)
    assert made.weights == {"kaf": 1, "simclr": 0.5, "bim": 1}
    assert (made.of("kaf").theta, made.of("kaf").radius, made.of("simclr").positives) == (0.2, 20, "view")
    assert kept(made.model_dump(mode="json"), saved) == saved, "what is new has its default, all else is as it was"


def test_the_methods_are_listed_with_what_they_learn():
    reported = []
    pretrain(["--methods"], SimpleNamespace(result=lambda values, text: reported.append((values, text))))
    values, text = reported[0]
    assert list(values["methods"]) == list(method_names())
    assert values["methods"]["bim"] == {
        "title": "BIM", "trains": ["encoder", "decoder"],
        "description": "finds clusters consistent under transforms, with boundaries at image edges"}
    assert "mae     MAE: reconstructs masked patches (trains the encoder and the decoder)" in text.splitlines()
    assert values["broken"] == {}
