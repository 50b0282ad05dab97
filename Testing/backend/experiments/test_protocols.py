"""Published experiments: what they ask for, whom they test, and the whole path in miniature."""

from __future__ import annotations

import json

import pytest
from small_models import write_phantoms

from kaf.cli import entry as cli
from kaf.data.splits import sampled, shuffled_folds
from kaf.experiments.arms import arm_of, check_used, pretraining_of, shared_recipes
from kaf.experiments.cells import planned_cells, planned_pretrainings
from kaf.network import build_network
from kaf.network.build import count_parameters
from kaf.runs.layout import RUN
from kaf.runtime.errors import SettingsError
from kaf.settings.base import build
from kaf.settings.compare import CompareSettings, protocol_names, read_protocol
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings


def settings_of(protocol: str = "kaf-acdc", **values) -> CompareSettings:
    return build(CompareSettings, {"data": "scans", "output": "out", "protocol": protocol, **values})


def test_the_patients_are_those_of_the_paper(shared_data):
    """The shared splits hold the training patients of its first fold, and who is labelled for each M."""
    known = json.loads((shared_data / "acdc" / "splits.json").read_text())
    patients = [f"patient{number:03d}" for number in range(1, 101)]
    train, test = shuffled_folds(patients, 5, 12345)[0]
    assert [int(name[7:]) for name in train] == known["patients"]
    assert len(test) == 20
    for count, names in known["few_shot_train"].items():
        assert [int(name[7:]) for name in sampled(train, int(count), 0)] == names
    short = [f"p{number}" for number in range(1, 101)]  # 2 before 10
    assert [int(name[1:]) for name in shuffled_folds(short, 5, 12345)[0][0]] == known["patients"]


@pytest.mark.parametrize(("name", "million", "rate", "epochs"), [
    ("kaf-acdc", 106.5, 5e-4, 201), ("kaf-chd", 71.5, 5e-5, 101), ("kaf-synapse", 71.5, 5e-5, 101)])
def test_every_network_can_be_built_and_is_the_published_one(name, million, rate, epochs):
    settings = settings_of(name)
    arms = {arm: arm_of(arm, settings) for arm in settings.names}
    check_used(settings, arms)
    pretrain, finetune = shared_recipes(settings)
    places = {"data": "scans", "output": "out"}
    recipe = build(FinetuneSettings, {**finetune, **arms["scratch"].finetune, **places})
    assert (recipe.optimiser, recipe.loss, recipe.batch, recipe.learning_rate, recipe.epochs) == (
        "adam", "ce", 10, rate, epochs)
    assert (recipe.ema, recipe.clip, recipe.warm_up, recipe.fusion_start) == (0, 0, 0, "random")
    assert (recipe.normalisation.kind, recipe.augmentation.interpolation) == ("volume", "cubic")
    for arm in arms.values():
        if arm.pretrain is not None:
            made = build(PretrainSettings, {**pretraining_of(arm, pretrain), **places})
            assert (made.warm_up, made.last_rate, made.normalisation) == (0, 0, recipe.normalisation)
    network = build(NetworkSettings, arms["kaf"].pretrain["network"])
    assert network.blocks == 16
    classes = 8 if name == "kaf-chd" else 4
    size = count_parameters(build_network(network.model_copy(update={"classes": classes})))
    assert size / 1e6 == pytest.approx(million, abs=0.1)
    plain = build(NetworkSettings, arms["pcl-unet"].pretrain["network"])
    assert (plain.fusion, plain.width, plain.resolved_decoder_width) == ("none", network.width, network.width)
    assert build(NetworkSettings, arms["unet-c2"].finetune["network"]).fusion == "copy"


def test_pcl_is_pretrained_as_in_its_own_paper():
    settings = settings_of()
    pretrain, _ = shared_recipes(settings)
    recipe = pretraining_of(arm_of("pcl-unet", settings), pretrain)
    made = build(PretrainSettings, {**recipe, "data": "x", "output": "y"})
    assert (made.method, made.learning_rate, made.epochs, made.batch) == ("pcl", 0.1, 300, 32)


def test_what_is_given_goes_over_the_protocol():
    settings = settings_of(few_shot=(6,), pretrain={"network": {"blocks": 12}}, transductive=False)
    assert settings.few_shot == (6,)
    assert not settings.transductive
    assert build(NetworkSettings, arm_of("kaf", settings).pretrain["network"]).blocks == 12
    assert settings_of().names == ["scratch", "unet", "kaf", "unet-c2", "pcl-unet"]
    chosen = settings_of(methods=("kaf", "unet-c2"))
    assert chosen.names == ["kaf", "unet-c2"]
    assert build(CompareSettings, chosen.model_dump()).names == chosen.names
    assert build(CompareSettings, settings.model_dump()) == settings


def test_unknown_protocols_and_miniatures_of_nothing():
    assert set(protocol_names()) == {"kaf-acdc", "kaf-chd", "kaf-synapse"}
    with pytest.raises(SettingsError, match="Did you mean kaf-acdc"):
        settings_of("kaf-adc")
    with pytest.raises(SettingsError, match="is not known"):
        read_protocol("../kaf-acdc")
    with pytest.raises(SettingsError, match="miniature is for a protocol"):
        build(CompareSettings, {"data": "x", "output": "y", "miniature": True})


def test_the_whole_table_is_planned():
    settings = settings_of()
    arms = {arm: arm_of(arm, settings) for arm in settings.names}
    assert len(planned_cells(settings)) == 5 * 7 * 5
    assert len(planned_pretrainings(settings, arms)) == 2 * 5


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocol")
    data = write_phantoms(folder / "scans", [f"patient{number:03d}" for number in range(1, 6)])
    common = {"cache": str(folder / "cache"), "spacing": 3.0}
    code = cli.main(["compare", str(data), "--output", str(folder / "out"), "--protocol", "kaf-acdc", "--miniature",
                     "--device", "cpu", "--threads", "1", "--few-shot", "2", "--methods", "scratch,kaf,pcl-unet",
                     f"--pretrain={json.dumps(common)}", f"--finetune={json.dumps(common)}"])
    return code, folder


def test_the_whole_path_in_miniature(miniature):
    """From the command line: pretraining with all losses, fine-tuning, both networks tested, the report."""
    code, folder = miniature
    assert code == 0
    table = json.loads((folder / "out" / "comparison.json").read_text())
    assert table["networks"] == table["planned"] == 3
    assert [row["arm"] for row in table["rows"]] == [
        "scratch", "scratch (best on test)", "kaf", "kaf (best on test)", "pcl-unet", "pcl-unet (best on test)"]
    assert any("in miniature: the figures mean nothing" in fact for fact in table["facts"])
    assert any(fact.startswith("transductive") for fact in table["facts"])
    run = folder / "out" / "kaf" / "m2-draw0-fold0" / "run"
    assert (run / "best.safetensors").is_file()
    split = json.loads((run / "split.json").read_text())
    (_, test), *_ = shuffled_folds([f"patient{number:03d}" for number in range(1, 6)], 5, 12345)
    assert split["validation"] == test
    assert len(split["train"]) == 2
    told = [json.loads(line) for line in (folder / "out" / "kaf" / "pretraining-fold0" / "events.jsonl").open()]
    last = [line["values"] for line in told if line["event"] == "metric"]
    assert not last or "kaf: matching" in last[-1]
    assert RUN.strangers(folder / "out") == []
