"""Several input channels: from a folder of nnU-Net or 4-D files to a model, and from the model to a segmentation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from finetune_toys import small_run
from made_folders import save_volume

from kaf.cli.entry import main
from kaf.cohort.work_queue import CaseOutcome
from kaf.data.annotation import scan_labelled
from kaf.data.batches import LabelledSlices
from kaf.data.cache import CachedCase, SliceSettings, load_case
from kaf.data.convert import convert
from kaf.data.folder import scan_folder
from kaf.data.inspect import inspect_dataset
from kaf.data.plan import make_plan
from kaf.data.scan import read_scan
from kaf.imaging.keypoints import Keypoints
from kaf.imaging.prepare import prepare, stack_context
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.inference.loaded_model import load_for_inference
from kaf.modelfile.card import card_from_json, read_card
from kaf.modelfile.suitability import doubts
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, KafError, ModelError, SettingsError
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.explain import explain
from kaf.verbs.finetune import finetune
from kaf.verbs.segment import segment
from kaf.verbs.segment_folder import segment_folder

NAMES = ("T2", "ADC")


def channels(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two scans of one heart that differ in their intensities, and its labels."""
    volume, labels = cardiac_phantom(seed, slices=3, size=32, spacing=4.0)
    first = volume.voxels.astype(np.float32)
    return first, (5000 - 3 * first ** 1.1).astype(np.float32), labels.voxels


def nnunet(root: Path, cases: int = 3) -> Path:
    for number in range(cases):
        *scans, labels = channels(number)
        for channel, voxels in enumerate(scans):
            save_volume(root / "imagesTr" / f"p{number}_000{channel}.nii.gz", voxels)
        save_volume(root / "labelsTr" / f"p{number}.nii.gz", labels)
    return described(root)


def described(root: Path) -> Path:
    words = {"channel_names": dict(enumerate(NAMES)), "labels": {"background": 0, "rv": 1, "wall": 2, "lv": 3}}
    (root / "dataset.json").write_text(json.dumps(words))
    return root


def decathlon(root: Path, cases: int = 3) -> Path:
    """4-D files."""
    for number in range(cases):
        *scans, labels = channels(number)
        parts = []
        for voxels in scans:
            part = SimpleITK.GetImageFromArray(voxels)
            part.SetSpacing((1.5, 1.25, 8.0))
            parts.append(part)
        (root / "imagesTr").mkdir(parents=True, exist_ok=True)
        SimpleITK.WriteImage(SimpleITK.JoinSeries(parts), str(root / "imagesTr" / f"p{number}.nii.gz"))
        save_volume(root / "labelsTr" / f"p{number}.nii.gz", labels)
    return described(root)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """The folder, and a model trained on it for a moment."""
    root = tmp_path_factory.mktemp("channels")
    data = nnunet(root / "data")
    return data, finetune(small_run(root, data, epochs=0.5, name="two", validation_cases=("p2",), slice_context=1))


def settings(model: Path, **more: object) -> SegmentSettings:
    return SegmentSettings(model=str(model), device="cpu", threads=1, precision="fp32", **more)


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("make", [nnunet, decathlon])
def test_the_channels_of_a_case_are_read_together(tmp_path, make):
    dataset = scan_labelled(make(tmp_path))
    assert dataset.problems == ()
    for number, case in enumerate(dataset.cases):
        assert case.channels == NAMES
        scan = read_scan(case)
        first, second, _ = channels(number)
        assert np.array_equal(scan.voxels, first)
        assert np.array_equal(scan.more[0], second)
        assert read_scan(case.one_channel).more == ()
        assert np.array_equal(read_scan(case.one_channel).voxels, first)
    assert "Channels: T2, ADC" in inspect_dataset(dataset).text().splitlines()


@pytest.mark.parametrize(("spoilt", "words"), [
    ({"voxels": np.ones((3, 32, 40), np.float32)}, "has 40 x 32 x 3 voxels where .*p0_0000.nii.gz, another channel"),
    ({"voxels": np.ones((3, 32, 32), np.float32), "origin": (9.0, 0.0, 0.0)}, "lies elsewhere in space than"),
])
def test_channels_on_different_voxels_are_refused(tmp_path, spoilt, words):
    save_volume(nnunet(tmp_path) / "imagesTr" / "p0_0001.nii.gz", **spoilt)
    case = scan_folder(tmp_path).cases[0]
    with pytest.raises(InputError, match=words):
        read_scan(case)
    report = inspect_dataset(scan_folder(tmp_path)).cases[0]
    assert not report.usable
    assert "another channel" in report.problems[0]


def test_each_channel_is_normalised_by_itself(tmp_path):
    ct = np.full((3, 32, 32), -1000, np.int16)
    ct[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(-50, 90, (3, 24, 24))
    for number in range(3):
        save_volume(nnunet(tmp_path) / "imagesTr" / f"p{number}_0001.nii.gz", ct)
    data = scan_labelled(nnunet(tmp_path))
    for number in range(3):
        save_volume(tmp_path / "imagesTr" / f"p{number}_0001.nii.gz", ct)
    plan = make_plan(data.labelled, small_run(tmp_path, tmp_path, network=None))
    assert [(channel.name, channel.modality, channel.normalisation.kind) for channel in plan.channels] == [
        ("T2", "MR", "tissue"), ("ADC", "CT", "window")]
    assert plan.network.in_channels == 2
    wanted = SliceSettings(None, "largest-spacing", plan.normalisation, KeypointSettings(),
                           more=plan.more_normalisations)
    (tmp_path / "cache").mkdir()
    for _ in range(2):
        case = load_case(data.labelled[0], wanted, tmp_path / "cache")
        assert case.image.shape == (3, 2, 32, 32)
        assert abs(float(case.image[:, 0].mean())) < 3
        assert case.image[:, 1].min() == -1  # below the window


def test_keypoints_come_from_the_channel_that_was_chosen():
    first, _, _ = channels(0)
    affine = np.diag([1.5, 1.25, 8.0, 1.0])
    both = Volume(first, affine, more=(np.zeros_like(first),))
    tissue = NormalisationSettings()
    alone = prepare(Volume(first, affine), None, "axial", tissue, KeypointSettings())
    seen, blind = (prepare(both, None, "axial", tissue, KeypointSettings(channel=channel), more=[tissue])
                   for channel in (0, 1))
    assert np.array_equal(seen.image[:, 0], alone.image)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(seen.keypoints, alone.keypoints, strict=True))
    assert any(not np.array_equal(a.positions, b.positions)
               for a, b in zip(blind.keypoints, alone.keypoints, strict=True))


def test_a_channel_number_changes_no_entry_of_scans_of_one_channel():
    digests = {SliceSettings(None, "axial", NormalisationSettings(), KeypointSettings(channel=channel)).digest()
               for channel in (0, 1)}
    assert len(digests) == 1


def test_patches_keep_channels_and_slices_in_order():
    image = np.arange(3 * 2)[:, None, None].reshape(3, 2, 1, 1) * np.ones((1, 1, 32, 32), np.float32)
    assert stack_context(image, 1, 1)[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    labels = np.zeros((3, 32, 32), np.uint8)
    points = Keypoints(np.array([[5.0, 5.0]], np.float32), np.ones(1, np.float32))
    case = CachedCase("a", "a", image, labels, [points] * 3, (1.0, 1.0, 1.0))
    still = AugmentationSettings(rotation=0, scale=1, elastic=0, intensity=0, flips=(False, False))
    made = LabelledSlices([case], (16, 16), 1, still, 0, slices=[(0, 1)])
    seen = {tuple(np.round(made.batch(step, 1).image[0, :, 8, 8]).astype(int).tolist()) for step in range(20)}
    assert seen == {(0, 1, 2, 3, 4, 5), (4, 5, 2, 3, 0, 1)}  # from either end, each with its channels


# ---------------------------------------------------------------- a model


def test_the_card_says_what_the_model_sees(trained):
    _, path = trained
    card = read_card(path)
    assert card.channel_names == NAMES
    assert [channel["normalisation"]["kind"] for channel in card.channels] == ["tissue", "tissue"]
    assert card.network["in_channels"] == 6  # two channels of three slices
    assert card_from_json(card.to_json()) == card
    for spoilt in ({"channels": card.channels[:1]}, {"channels": ()}, {"channels": (card.channels[0],) * 2}):
        with pytest.raises(ModelError):
            card_from_json(replace(card, **spoilt).to_json())


def test_a_folder_is_segmented_with_all_channels(trained, tmp_path):
    data, path = trained
    cases = scan_folder(data).every
    outcome = segment_folder(cases, settings(path), tmp_path / "out", ".nii.gz")
    assert isinstance(outcome, CaseOutcome)
    assert (len(outcome.written), outcome.failed) == (3, {})
    whole = segment(read_scan(cases[0]), settings(path)).labels.voxels
    assert np.array_equal(read_labels(tmp_path / "out" / "p0.nii.gz").voxels, whole)
    # Named otherwise in the folder's dataset.json, the channels still find their places.
    swapped = [replace(case, channels=NAMES[::-1], image=case.more[0], more=(case.image,)) for case in cases]
    segment_folder(swapped, settings(path), tmp_path / "again", ".nii.gz")
    assert np.array_equal(read_labels(tmp_path / "again" / "p0.nii.gz").voxels, whole)
    assert segment_folder(cases, settings(path), tmp_path / "out", ".nii.gz").written == []  # finished before
    lone = [case.one_channel for case in cases]
    with pytest.raises(KafError, match="has 1 channel, and two sees 2"):
        segment(read_scan(lone[0]), settings(path))


def test_a_second_channel_that_was_replaced_is_another_scan(trained, tmp_path):
    _, path = trained
    data = nnunet(tmp_path / "data", 1)
    segment_folder(scan_folder(data).every, settings(path), tmp_path / "out", ".nii.gz")
    save_volume(data / "imagesTr" / "p0_0001.nii.gz", channels(1)[1])
    with pytest.raises(KafError, match="was made from another scan of that name"):
        segment_folder(scan_folder(data).every, settings(path), tmp_path / "out", ".nii.gz")


def test_scans_on_the_command_line_by_order_and_by_name(trained, tmp_path, capsys):
    data, path = trained
    first, second = (str(data / "imagesTr" / f"p0_000{n}.nii.gz") for n in (0, 1))
    found = []
    for number, inputs in enumerate(([first, second], [f"adc={second}", f"T2={first}"], [second, first])):
        output = tmp_path / f"{number}.nii.gz"
        assert main(["segment", *inputs, "--model", str(path), "--output", str(output), "--device", "cpu"]) == 0
        found.append(read_labels(output).voxels)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    report = json.loads((tmp_path / "0-seg.json").read_text())
    assert (report["input"], len(report["more_files"])) == (first, 1)
    capsys.readouterr()
    for inputs, words in (([first], "has 1 channel, and two sees 2 (T2, ADC)"), ([f"T2={first}"], "one scan for each"),
                          ([f"T1={first}", second], "t1=: is no channel of two (its channels: T2, ADC)"),
                          ([first, second, first], "has 3 channels")):
        assert main(["segment", *inputs, "--model", str(path), "--output", str(tmp_path / "x.nii.gz")]) != 0
        assert words in capsys.readouterr().err
    assert not (tmp_path / "x.nii.gz").exists()


def test_commands_that_have_one_scan_refuse_the_model(trained, tmp_path):
    data, path = trained
    scan = data / "imagesTr" / "p0_0000.nii.gz"
    with pytest.raises(ModelError, match=r"sees 2 channels at once \(T2, ADC\)"):
        load_for_inference(settings(path), str(path))
    with pytest.raises(KafError, match="channels"):
        explain(read_volume(scan), ExplainSettings(model=str(path), device="cpu", point=(0.0, 0.0, 0.0)))


def test_a_model_of_one_channel_takes_the_first_of_a_folder(tmp_path, model):
    cases = scan_folder(nnunet(tmp_path / "data", 1)).every
    segment_folder(cases, settings(model), tmp_path / "out", ".nii.gz")
    alone = segment(read_volume(cases[0].image), settings(model)).labels.voxels
    assert np.array_equal(read_labels(tmp_path / "out" / "p0.nii.gz").voxels, alone)
    with pytest.raises(InputError, match=r"has 2 channels, and .* sees 1"):
        segment(read_scan(cases[0]), settings(model))


def test_a_channel_of_the_wrong_kind_is_doubted(trained):
    data, path = trained
    card = read_card(path)
    scan = read_scan(scan_folder(data).cases[0])
    assert not any("was made for" in text and "as ADC" in text for text in doubts(scan, card))
    ct = np.full(scan.shape, -1000, np.int16)
    ct[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(-50, 90, ct[:, 4:-4, 4:-4].shape)
    odd = Volume(scan.voxels, scan.affine, more=(ct,))
    assert any("looks like CT, but two was made for MR as ADC" in text for text in doubts(odd, card))


def test_in_3d_and_from_4d_files(tmp_path):
    data = decathlon(tmp_path / "data")
    path = finetune(small_run(tmp_path, data, epochs=None, steps=2, validation_cases=("p2",), patch=None,
                              network={"dimensions": 3, "width": 4, "patch": (2, 16, 16)}))
    card = read_card(path)
    assert (card.network["in_channels"], card.channel_names) == (2, NAMES)
    assert "Dice" in card.metrics["validation"]
    outcome = segment_folder(scan_folder(data).every, settings(path), tmp_path / "out", ".nii.gz")
    assert len(outcome.written) == 3


def test_what_does_not_go_with_several_channels(tmp_path):
    data = nnunet(tmp_path / "data")
    for given, words in (({"unlabelled": str(data)}, "unlabelled"), ({"phantoms": 2}, "phantoms"),
                         ({"keypoints": {"channel": 2}}, "channels 0 to 1")):
        with pytest.raises(SettingsError, match=words):
            finetune(small_run(tmp_path, data, output=f"run-{words[:4]}", **given))


@pytest.mark.parametrize("make", [nnunet, decathlon])
def test_channels_are_converted(tmp_path, make):
    convert(make(tmp_path / "data"), "nnunet", tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there" / "imagesTr").iterdir()) == [
        f"p{n}_000{c}.nii.gz" for n in range(3) for c in (0, 1)]
    assert json.loads((tmp_path / "there" / "dataset.json").read_text())["channel_names"] == {"0": "T2", "1": "ADC"}
    convert(tmp_path / "there", "kaf", tmp_path / "back")
    for number, case in enumerate(scan_folder(tmp_path / "back").cases):
        assert case.channels == NAMES
        assert np.array_equal(read_scan(case).more[0], channels(number)[1])
