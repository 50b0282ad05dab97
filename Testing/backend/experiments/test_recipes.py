"""Recipes of an experiment: presets are opened, arms are prepared alike, and no setting goes unused."""

from __future__ import annotations

import pytest

from kaf.experiments.arms import arm_of, check_used, shared_recipes
from kaf.runtime.errors import SettingsError
from kaf.settings.base import build
from kaf.settings.compare import CompareSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings


def settings_of(**values) -> CompareSettings:
    return CompareSettings(**{"data": "scans", "output": "out", "methods": ("scratch", "unet", "kaf"), **values})


def check(settings: CompareSettings) -> None:
    shared_recipes(settings)
    check_used(settings, {name: arm_of(name, settings) for name in settings.names})


def test_a_preset_is_opened_before_arms_are_made():
    """`compare` trained the compact network (2.87 M parameters) for the published one, without a word."""
    settings = settings_of(pretrain={"preset": "kaf-acdc"})
    whole = build(PretrainSettings, {"data": "scans", "output": "out", "preset": "kaf-acdc"})
    assert (whole.network.width, whole.network.blocks) == (48, 12)
    kaf, scratch, plain = (arm_of(name, settings) for name in ("kaf", "scratch", "unet"))
    assert build(NetworkSettings, kaf.pretrain["network"]).model_dump() == whole.network.model_dump()
    assert build(NetworkSettings, scratch.finetune["network"]).model_dump() == whole.network.model_dump()
    assert build(NetworkSettings, plain.finetune["network"]).width == 48
    pretrain, finetune = shared_recipes(settings)
    assert finetune["spacing"] == pretrain["spacing"] == 1.25, "scratch sees what pretrained networks see"
    assert finetune["keypoints"] == {"limit": 512}
    assert pretrain["batch"] == 32
    assert "batch" not in finetune


def test_what_is_given_goes_over_the_preset():
    settings = settings_of(pretrain={"preset": "kaf-acdc", "spacing": 2.0, "network": {"width": 16}, "steps": 5})
    pretrain, finetune = shared_recipes(settings)
    assert (pretrain["spacing"], finetune["spacing"], pretrain["steps"]) == (2.0, 2.0, 5)
    assert "epochs" not in pretrain, "the budget that is given replaces the preset's"
    network = build(NetworkSettings, arm_of("kaf", settings).pretrain["network"])
    assert (network.width, network.blocks) == (16, 12)


@pytest.mark.parametrize(("values", "words"), [
    ({"finetune": {"spacing": 2.0}, "pretrain": {"spacing": 1.5}}, "finetune.spacing: is 2.0, but pretrain.spacing is"),
    ({"finetune": {"spacing": 2.0}, "pretrain": {"preset": "kaf-acdc"}}, r"pretrain.spacing \(of preset kaf-acdc\)"),
    ({"finetune": {"network": {"width": 8}}, "pretrain": {"network": {"width": 16}}}, "finetune.network: is"),
    ({"pretrain": {"method": "pcl"}}, "pretrain.method: is not used: the arms name their methods"),
    ({"pretrain": {"data": "x"}}, "pretrain.data: is not used: the experiment decides it"),
    ({"finetune": {"seed": 3}}, "finetune.seed: is not used"),
    ({"finetune": {"cases": ["a"]}}, "finetune.cases: is not used"),
    ({"finetune": {"few_shot": 2}}, "finetune.few_shot: is not used"),
    ({"pretrain": {"bim": {"clusters": 5}}}, "pretrain.bim: is not used: no arm is pretrained with bim"),
    ({"methods": ("scratch",), "pretrain": {"steps": 5}}, "pretrain.steps: is not used: no arm is pretrained"),
    ({"methods": ("scratch",), "unlabelled": "pool"}, "unlabelled: is not used"),
    ({"methods": ("scratch",), "transductive": True}, "transductive: is not used"),
    ({"arms": {"mine": {"pretrain": {"method": "pcl"}, "finetune": {"spacing": 1.0}}}},
     r"arms.mine.finetune.spacing: is not used: it is that of the weights"),
    ({"arms": {"mine": {"finetune": {"output": "x"}}}}, r"arms.mine.finetune.output: is not used"),
], ids=str)
def test_a_setting_that_no_network_would_get_is_an_error(values, words):
    with pytest.raises(SettingsError, match=words):
        check(settings_of(**values))


@pytest.mark.parametrize("values", [
    {"pretrain": {"kaf": {"radius": 20.0}, "steps": 5}}, {"finetune": {"spacing": 2.0}, "pretrain": {"spacing": 2.0}},
    {"methods": ("pcl",), "finetune": {"spacing": 2.0}}, {"methods": ("scratch",), "pretrain": {"preset": "kaf-acdc"}},
    {"methods": ("scratch+unlabelled",), "unlabelled": "pool"}, {"pretrain": {"preset": "pcl-acdc"}},
    {"arms": {"mine": {"pretrain": {}}}, "methods": (), "pretrain": {"method": "pcl"}},
], ids=str)
def test_settings_that_networks_get_are_none(values):
    check(settings_of(**values))
