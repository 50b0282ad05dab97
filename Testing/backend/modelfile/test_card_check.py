"""A signed but absurd card: refused everywhere, with a message that names the field; what KAF writes passes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from finetune_toys import small_run
from small_models import (
    CARD,
    PLAIN,
    SMALL,
    change_card,
    model_file,
    put_together,
    small_network,
    taken_apart,
    write_phantoms,
)

import kaf.modelfile.library
from kaf.imaging.labels import Label
from kaf.modelfile import card_check
from kaf.modelfile.card import card_from_json, check_card, read_card, tidy_card
from kaf.modelfile.library import add_model, adopt_model, keep_model, list_models, refused_models
from kaf.modelfile.model import load_model, load_tensors, save_model
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import ModelError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.finetune import finetune

NAN, INF = float("nan"), float("inf")


def words(**values):
    return lambda card: card.update(values)


def network(**values):
    return lambda card: card["network"].update(values)


def label(index=0, **values):
    return lambda card: card["labels"][index].update(values)


def values_of_labels(*values):
    return lambda card: card.update(labels=[{"value": v, "name": f"label {i}", "colour": [1, 2, 3]}
                                            for i, v in enumerate(values)])


def deep(levels):
    made = {}
    for _ in range(levels):
        made = {"a": made}
    return made


ABSURD = {
    "a label of -1": (label(value=-1), "labels[0].value is -1"),
    "a label of 0": (label(value=0), "labels[0].value is 0"),
    "a label of 256": (label(value=256), "labels[0].value is 256"),
    "a label of 1e9": (label(value=10 ** 9), "labels[0].value is 1000000000"),
    "a label of 1e400": (label(value=10 ** 400), "labels[0].value is 1000"),
    "a label of 1.5": (label(value=1.5), "labels[0].value is 1.5"),
    "a label of true": (label(value=True), "labels[0].value is True"),
    "a label as text": (label(value="1"), "labels[0].value is '1'"),
    "a label of nothing": (label(value=None), "labels[0].value is None"),
    "a label twice": (label(value=3), "labels has the value 3 more than once"),
    "a label that the network lacks": (label(value=200), "labels has the value 200, but the network has 4 classes"),
    "300 labels": (values_of_labels(*range(1, 301)), "labels has 300 entries"),
    "100,000 labels": (values_of_labels(*range(1, 100_001)), "it has"),
    "labels by name": (words(labels={"1": "heart"}), "labels is {'1': 'heart'}, not a list"),
    "no name of a label": (label(name=""), "labels[0].name has 0 characters"),
    "a name of a label twice": (label(name="Höhle"), "labels has the name 'H\\xf6hle' more than once"),
    "a name of a label that is a list": (label(name=["a"]), "labels[0].name is ['a']"),
    "a long name of a label": (label(name="x" * 1000), "labels[0].name has 1000 characters"),
    "a name of a label with an escape": (label(name="\x1b[2Jheart"), "labels[0].name"),
    "a name of a label with a new line": (label(name="a\nSegment1_Name:=b"), "labels[0].name"),
    "a name of a label turned around": (label(name="a\u202eb"), "labels[0].name"),
    "half a character in a name": (label(name="\ud800"), "labels[0].name"),
    "a colour of 256": (label(colour=[0, 0, 256]), "labels[0].colour[2] is 256"),
    "a colour of -1": (label(colour=[0, -1, 0]), "labels[0].colour[1] is -1"),
    "a colour of 0.5": (label(colour=[0.5, 0, 0]), "labels[0].colour[0] is 0.5"),
    "a colour of four": (label(colour=[1, 2, 3, 4]), "labels[0].colour has 4 entries"),
    "a colour as text": (label(colour="red"), "labels[0].colour is 'red'"),
    "a long terminology": (label(terminology="~" * 5000), "labels[0].terminology has 5000 characters"),
    "a terminology with controls": (label(terminology="~SCT^1\r\n^Heart"), "labels[0].terminology"),
    "an unknown word of a label": (label(opacity=1), "labels[0] has 'opacity'"),
    "spacing 0": (words(spacing=0), "spacing is 0"),
    "spacing -1": (words(spacing=-1.0), "spacing is -1.0"),
    "spacing NaN": (words(spacing=NAN), "spacing is nan"),
    "spacing infinite": (words(spacing=INF), "spacing is inf"),
    "spacing 1e-9": (words(spacing=1e-9), "spacing is 1e-09"),
    "spacing 1e9": (words(spacing=1e9), "spacing is 1000000000.0"),
    "spacing true": (words(spacing=True), "spacing is True"),
    "spacing of three": (words(spacing=[1, 1, 1]), "spacing is [1, 1, 1]"),
    "slice spacing 0": (words(slice_spacing=0), "slice_spacing is 0"),
    "slice spacing -3": (words(slice_spacing=-3), "slice_spacing is -3"),
    "slice spacing NaN": (words(slice_spacing=NAN), "slice_spacing is nan"),
    "an unknown modality": (words(modality="X-ray vision"), "modality is 'X-ray vision', not one of MR, CT, any"),
    "a modality with an escape": (words(modality="MR\x1b[2J"), "modality is 'MR\\x1b[2J'"),
    "a modality that is a number": (words(modality=1), "modality is 1"),
    "an unknown axis": (words(slicing_axis="diagonal"), "slicing_axis is 'diagonal'"),
    "slice context -1": (words(slice_context=-1), "slice_context is -1"),
    "slice context 1e6": (words(slice_context=10 ** 6), "slice_context is 1000000"),
    "slice context that the network lacks": (words(slice_context=2), "network.in_channels is 1"),
    "64 blocks": (network(fusion="keypoints", blocks=64), "network.scales are not those"),
    "1e6 blocks": (network(blocks=10 ** 6), "network.blocks is 1000000"),
    "-1 blocks": (network(blocks=-1), "network.blocks is -1"),
    "width 0": (network(width=0), "network.width is 0"),
    "width 256": (network(width=256), "network.width is 256, but the weights of the file have 4"),
    "width 1e9": (network(width=10 ** 9), "network.width is 1000000000"),
    "decoder width 512": (network(decoder_width=512), "network.decoder_width is 512"),
    "token width 1e6": (network(token_width=10 ** 6), "network.token_width is 1000000"),
    "token width no multiple of heads": (network(token_width=9), "network.token_width is 9, no multiple of heads 2"),
    "0 heads": (network(heads=0), "network.heads is 0"),
    "1 class": (network(classes=1), "network.classes is 1"),
    "256 classes": (network(classes=256), "network.classes is 256, but the weights of the file have 4"),
    "1e9 classes": (network(classes=10 ** 9), "network.classes is 1000000000"),
    "32 channels": (network(in_channels=32), "network.in_channels is 32"),
    "an unknown kind": (network(kind="transformer"), "network.kind is 'transformer'"),
    "another kind": (network(kind="swinunetr", width=252), "network is 252 wide"),
    "an unknown fusion": (network(fusion="nuclear"), "network.fusion is 'nuclear'"),
    "two scales": (network(scales=[True, True]), "network.scales has 2 entries"),
    "scales as numbers": (network(scales=[1, 0, 1, 0]), "network.scales[0] is 1"),
    "no scales": (lambda card: card["network"].pop("scales"), "network has no 'scales'"),
    "no heads": (lambda card: card["network"].pop("heads"), "network has no 'heads'"),
    "255 clusters": (network(clusters=255), "network.clusters is 255, but the weights of the file have none"),
    "an unknown word of the network": (network(depth=3), "network has 'depth'"),
    "four dimensions": (network(dimensions=4), "network.dimensions is 4"),
    "three dimensions of a network without": (network(dimensions=3), "network.kind is kaf, which has no form in 3-D"),
    "a patch in two dimensions": (network(patch=[64, 64, 64]), "network has patch"),
    "a patch of 1e9": (network(kind="dynunet", dimensions=3, patch=[10 ** 9] * 3), "network.patch[0] is 1000000000"),
    "a patch of 1024 x 1024 x 1024": (network(kind="dynunet", dimensions=3, patch=[1024] * 3), "network.patch is too"),
    "strides of 100": (network(kind="dynunet", dimensions=3, strides=[[1, 1, 1], [100] * 3, [1, 1, 1]],
                               kernels=[[3, 3, 3]] * 3), "network.strides[1][0] is 100"),
    "strides without kernels": (network(kind="dynunet", dimensions=3, strides=[[1, 1, 1]] * 3), "3 strides for 0"),
    "kernels of 2": (network(kind="dynunet", dimensions=3, strides=[[1, 1, 1]] * 3, kernels=[[2, 2, 2]] * 3),
                     "network.kernels have a side"),
    "no normalisation that is known": (words(normalisation={"kind": "magic"}), "normalisation.kind is 'magic'"),
    "a window upside down": (words(normalisation={"kind": "window", "low": 5, "high": 5}), "which is not below"),
    "a window of NaN": (words(normalisation={"kind": "window", "low": NAN, "high": 5}), "normalisation.low is nan"),
    "a window without an end": (words(normalisation={"kind": "window", "low": 0, "high": INF}),
                                "normalisation.high is inf"),
    "percentiles of 200": (words(normalisation={"kind": "tissue", "low": 0.5, "high": 200}), "0..100"),
    "an unknown word of the normalisation": (words(normalisation={"mean": 0}), "normalisation has 'mean'"),
    "1e9 keypoints": (words(keypoints={"limit": 10 ** 9}), "keypoints.limit is 1000000000"),
    "0 keypoints": (words(keypoints={"limit": 0}), "keypoints.limit is 0"),
    "keypoints apart by NaN": (words(keypoints={"spacing": NAN}), "keypoints.spacing is nan"),
    "a contrast of 0": (words(keypoints={"contrast": 0}), "keypoints.contrast is 0"),
    "an unknown word of the keypoints": (words(keypoints={"kind": "surf"}), "keypoints has 'kind'"),
    "a name with an escape": (words(name="\x1b]0;evil\x07"), "name is '\\x1b]0;evil\\x07'"),
    "a name of a kilobyte": (words(name="x" * 1024), "name has 1024 characters"),
    "a name that is a number": (words(name=7), "name is 7"),
    "a name of two lines": (words(name="a\nb"), "name is 'a\\nb'"),
    "a version that is a number": (words(version=1), "version is 1"),
    "a description of 100 kB": (words(description="x" * 100_000), "description has 100000 characters"),
    "a description with an escape": (words(description="good \x1b[8m bad"), "description"),
    "a licence that is nothing": (words(weights_licence=None), "weights_licence is None"),
    "a licence that hides its end": (words(weights_licence="CC0\x00 not"), "weights_licence"),
    "training data that are a list": (words(training_data=["ours"]), "training_data is ['ours']"),
    "a digest that is a path": (words(digest="../../../evil"), "digest is '../../../evil', not a SHA-256"),
    "a digest that is a pattern": (words(digest="*" * 64), "digest is '****"),
    "a digest in capitals": (lambda card: card.update(digest=card["digest"].upper()), "not a SHA-256"),
    "a digest cut off": (lambda card: card.update(digest=card["digest"][:32]), "not a SHA-256"),
    "a seed of -1": (words(seed=-1), "seed is -1"),
    "a seed of 1e100": (words(seed=10 ** 100), "seed is 1000"),
    "a seed as text": (words(seed="lucky"), "seed is 'lucky'"),
    "modules that are unknown": (words(trained_modules=["brain"]), "trained_modules[0] is 'brain'"),
    "modules that are a word": (words(trained_modules="encoder"), "trained_modules is 'encoder'"),
    "metrics that are a list": (words(metrics=[1]), "metrics is [1]"),
    "a Dice of 9000": (words(metrics={"validation": {"Dice": 9000}}), "metrics.validation.Dice is 9000"),
    "a Dice as text": (words(metrics={"cross-validation": {"Dice": "perfect"}}), "cross-validation.Dice is 'perfect'"),
    "a Dice of nothing": (words(metrics={"validation": {"Dice": None}}), "metrics.validation.Dice is None"),
    "cases as text": (words(metrics={"validation": {"Dice": 0.5, "cases": "all"}}), "validation.cases is 'all'"),
    "a validation that is a number": (words(metrics={"validation": 0.9}), "metrics.validation is 0.9"),
    "patients as text": (words(metrics={"training_patients": "<b>many</b>"}), "metrics.training_patients is"),
    "metrics a thousand deep": (words(metrics=deep(300)), "is more than 8 levels deep"),
    "metrics of 10,000 entries": (words(metrics={str(i): 0 for i in range(10_000)}), "has more than 5000 entries"),
    "metrics with an escape": (words(metrics={"protocol": "\x1b[2J"}), "metrics.protocol"),
    "metrics whose name has an escape": (words(metrics={"\x1b[2J": 1}), "metrics is"),
    "a recipe that is a word": (words(recipe="secret"), "recipe is 'secret'"),
    "an augmentation that is a list": (words(recipe={"augmentation": []}), "recipe.augmentation is []"),
    "flips that are a number": (words(recipe={"augmentation": {"flips": 1}}), "recipe.augmentation.flips is 1"),
    "a recipe with a number of 10,000 digits": (words(recipe={"steps": 10 ** 4000}), "recipe.steps is too large"),
    "an unknown word": (words(mood="good"), "it has 'mood', which this version of KAF does not know"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("sound") / "heart.safetensors")


@pytest.fixture
def path(sound, tmp_path):
    copy = tmp_path / "heart.safetensors"
    copy.write_bytes(sound.read_bytes())
    return copy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kaf.modelfile.library, "bundled_folder", lambda: tmp_path / "nothing")
    return tmp_path / "library"


def doors(path: Path, folder: Path):
    return {"read": lambda: read_card(path), "load": lambda: load_model(path), "tensors": lambda: load_tensors(path),
            "add": lambda: add_model(str(path), "mine", folder=folder),
            "keep": lambda: keep_model(path, "mine", folder), "adopt": lambda: adopt_model(path, "mine", folder)}


@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_card_is_refused_at_every_door(path, folder, kind):
    change, expected = ABSURD[kind]
    change_card(path, change, sign=True)
    for door, enter in doors(path, folder).items():
        with pytest.raises(ModelError) as caught:
            enter()
        assert "its model card cannot be used (" in caught.value.reason, door
        assert expected in caught.value.reason, door
        assert str(caught.value).isprintable(), door
        assert len(caught.value.reason) < 400, door
    assert not folder.exists()
    folder.mkdir()
    path.rename(folder / "by-hand.safetensors")
    assert list_models(folder) == []
    assert expected in str(refused_models(folder)["by-hand"])


def test_a_sound_card_passes_every_door(path, folder):
    for name in ("read", "load", "tensors", "add", "keep", "adopt"):
        doors(path, folder / name)[name]()
    assert read_card(path).name == "heart"


def test_more_blocks_than_the_file_holds(tmp_path):
    settings = SMALL.model_dump(mode="json")
    path = tmp_path / "kaf.safetensors"
    save_model(path, small_network(SMALL), replace(CARD, network=settings))
    assert read_card(path).network["blocks"] == 1
    for change, said in (({"blocks": 64}, "network.blocks is 64, but the weights of the file have 1"),
                         ({"blocks": 0}, "network.blocks is 0, but the weights of the file have 1"),
                         ({"scales": [True, False, True, True]}, "network.scales are not those"),
                         ({"token_width": 1024}, "network.token_width is 1024"),
                         ({"fusion": "none"}, "network.scales are not those")):
        change_card(path, lambda card, change=change: card["network"].update({**settings, **change}), sign=True)
        with pytest.raises(ModelError) as caught:
            read_card(path)
        assert said in caught.value.reason


@pytest.mark.parametrize("entry", [5, [], {}, {"shape": "wide"}, {"shape": [1e400]}, {"shape": None}])
def test_weights_without_a_shape(path, entry):
    header, data = taken_apart(path)
    header["head.weight"] = entry
    put_together(path, header, data)
    with pytest.raises(ModelError):
        read_card(path)


def test_a_patch_or_a_blank_stays_within_the_ranges_of_the_settings():
    """The door is as wide as the settings, whose ranges it states again for want of pydantic."""
    ours = {"network": (card_check.NETWORK, NetworkSettings), "keypoints": (KEYPOINTS, KeypointSettings),
            "normalisation": (NORMALISATION, NormalisationSettings)}
    for name, (known, settings) in ours.items():
        assert set(known) == {key for key, field in settings.model_fields.items() if not field.exclude}, name
    for name, field in NetworkSettings.model_fields.items():
        if field.exclude:  # no card has it
            continue
        limits = {type(item).__name__.lower(): next(iter(vars(item).values()), None) if hasattr(item, "__dict__") else
                  getattr(item, type(item).__name__.lower(), None) for item in field.metadata}
        for end, step in (("ge", -1), ("le", 1)):
            if limits.get(end) is not None:
                card_check.NETWORK[name](name, limits[end])
                with pytest.raises(ValueError, match=name):
                    card_check.NETWORK[name](name, limits[end] + step)
    low_high = {"limit": (1, 4096), "spacing": (0, 64), "contrast": (1e-9, 1)}
    for name, values in low_high.items():
        for value in values:
            KeypointSettings(**{name: value})
            card_check._keypoints("keypoints", {name: value})


KEYPOINTS = ("limit", "spacing", "contrast", "channel")
NORMALISATION = ("kind", "low", "high")


@pytest.mark.parametrize("kind", ["kaf", "unet", "basicunet", "dynunet", "swinunetr"])
def test_every_network_of_ours_passes(tmp_path, kind):
    settings = NetworkSettings(kind=kind, width=16, classes=4, in_channels=3, blocks=1, token_width=16, heads=2,
                               decoder_width=16, clusters=5 if kind == "kaf" else 0)
    from kaf.network import build_network

    card = replace(CARD, network=settings.model_dump(mode="json"), slice_context=1)
    save_model(tmp_path / "a.safetensors", build_network(settings), card)
    assert load_model(tmp_path / "a.safetensors")[1].network == settings.model_dump(mode="json")


def test_every_network_in_3d_passes(tmp_path):
    from kaf.network import build_network

    for more in ({}, {"strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
                      "patch": (8, 64, 64)}):
        settings = NetworkSettings(dimensions=3, width=8, classes=4, **more)
        path = tmp_path / f"{len(more)}.safetensors"
        save_model(path, build_network(settings), replace(CARD, network=settings.model_dump(mode="json")))
        assert load_model(path)[1].network["dimensions"] == 3


def test_the_models_that_come_with_kaf_pass():
    paths = sorted((Path(kaf.modelfile.library.__file__).parents[1] / "models").glob("*.safetensors"))
    assert len(paths) >= 2
    for path in paths:
        load_model(path)


def test_what_kaf_writes_is_tidied_so_that_it_passes(tmp_path):
    """A run of hours must not end in a card that nobody accepts."""
    wild = replace(
        CARD, name="heart\x1b[2J\nof mine" + "x" * 300, version="1\t", description="a\x07b\nc" + "d" * 30_000,
        labels=(Label(1, "\x1b[1m", (1, 2, 3), "~SCT\n"), Label(3, "y" * 500, (1, 2, 3))),
        metrics={"validation": {"Dice": NAN, "curve": [0.5, NAN], "a\nb": INF}},
        recipe={"data": "my\x07scans", "augmentation": {"flips": (True, False)}, "epochs": INF})
    card = save_model(tmp_path / "a.safetensors", small_network(PLAIN), wild)
    found = read_card(tmp_path / "a.safetensors")
    assert found == card
    assert found.name.startswith("heart of minexxx")
    assert (len(found.name), len(found.description), found.description[:4]) == (200, 20_000, "ab\nc")
    assert [label.name[:7] for label in found.labels] == ["label 1", "yyyyyyy"]
    assert found.metrics == {"validation": {"curve": [0.5, None]}}
    assert found.recipe == {"data": "myscans", "augmentation": {"flips": [True, False]}}
    assert found.knows_mirrors is False
    assert load_model(tmp_path / "a.safetensors")[1] == card


def test_structures_of_one_name_are_told_apart():
    """Volumes are known by name: of two of one name the second would hide the first."""
    labels = tuple(Label(value, "ventricle", (1, 2, 3)) for value in (1, 3))
    tidied = tidy_card(replace(CARD, labels=labels))
    assert [label.name for label in tidied.labels] == ["ventricle (1)", "ventricle (3)"]


def test_a_card_that_nobody_would_accept_ends_a_run_before_it_learns(tmp_path, monkeypatch):
    data = write_phantoms(tmp_path / "scans", ("p1",))
    absurd = replace(CARD, spacing=0.0)
    monkeypatch.setattr("kaf.verbs.finetune.finetuned_card", lambda *_: absurd)
    monkeypatch.setattr("kaf.verbs.adapt._card", lambda *_: absurd)
    monkeypatch.setattr("kaf.training.loop.Loop.run", lambda self: pytest.fail("it learns"))
    with pytest.raises(ModelError, match=r"the card of 'heart': spacing is 0\.0"):
        finetune(small_run(tmp_path, data))
    scan, truth = cardiac_phantom(0, slices=3, size=64, spacing=3.0)
    base = model_file(tmp_path / "base.safetensors")
    with pytest.raises(ModelError, match=r"the card of 'heart': spacing is 0\.0"):
        adapt(scan, truth, AdaptSettings(model=str(base), labels={1: "a"}, device="cpu", threads=1))


def test_what_is_tidy_stays_word_for_word():
    assert tidy_card(CARD) == CARD
    check_card(CARD)
    assert card_from_json(CARD.to_json()) == CARD


def test_a_validation_without_a_figure_of_an_earlier_version_is_still_read(path):
    change_card(path, words(metrics={"validation": {"Dice": NAN, "patients": 2}}), sign=True)
    assert read_card(path).metrics["validation"]["patients"] == 2


def test_the_json_of_a_card_is_the_card():
    assert json.loads(CARD.to_json()) == {key: value for key, value in json.loads(json.dumps(asdict(CARD))).items()
                                          if key not in ("quality", "channels")}
