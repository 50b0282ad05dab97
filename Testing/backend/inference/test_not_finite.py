"""NaN and infinity in weights, in scans and in what a network answers: told, never an empty result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finetune_toys import small_run
from made_models import HERE, RUN, command_line, files_here, run, tiny_model, tiny_network
from small_models import write_phantoms, write_volume
from training_toys import CPU

from kaf.imaging.keypoints import Keypoints
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_map
from kaf.inference.slices import SlicePredictor
from kaf.inference.volumes import VolumePredictor
from kaf.modelfile.card import CARD_KEY, read_card
from kaf.modelfile.library import add_model
from kaf.modelfile.model import load_model, load_tensors, save_model
from kaf.modelfile.weights_file import digest_of, load_weights, save_weights
from kaf.network import Features
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, ModelError, ResourceError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.explain import ExplainSettings
from kaf.settings.segment import SegmentSettings
from kaf.training import loop as loop_module
from kaf.verbs.adapt import adapt
from kaf.verbs.explain import explain
from kaf.verbs.finetune import finetune
from kaf.verbs.segment_folder import segment_folder
from kaf.worker.client import Client

NAN, INF = float("nan"), float("inf")


def spoilt(model: Path, path: Path, name: str, value: float) -> Path:
    """The model with one weight that is no number, signed as if it were right."""
    tensors, metadata = load_weights(model)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    tensors[name].view(-1)[-1] = value
    card = replace(read_card(model), digest=digest_of(tensors))
    card = replace(card, card_digest=card.digest_of_words())
    save_weights(path, tensors, {**metadata, CARD_KEY: card.to_json()})
    return path


@pytest.fixture(scope="module")
def bad(model, tmp_path_factory) -> Path:
    return spoilt(model, tmp_path_factory.mktemp("bad") / "bad.safetensors", "head.weight", NAN)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ["head.weight", "encoder.stages.0.0.weight", "encoder.stages.0.1.running_var"])
def test_weights_that_are_no_numbers_are_refused_by_name(model, tmp_path, name, value):
    path = spoilt(model, tmp_path / "m.safetensors", name, value)
    for load in (load_model, load_tensors):
        with pytest.raises(ModelError) as caught:
            load(path)
        assert caught.value.subject == str(path)
        count = len(load_weights(model)[0])
        assert caught.value.reason == f"holds weights that are NaN or infinite ({name}, 1 of {count} tensors)"


def test_nothing_starts_from_such_weights(model, bad, scan, tmp_path):
    drawn = Volume(np.ones(scan.voxels.shape, np.uint8), scan.affine)
    with pytest.raises(ModelError, match="NaN or infinite"):
        run(bad, scan)
    with pytest.raises(ModelError, match="NaN or infinite"):
        adapt(scan, drawn, AdaptSettings(model=str(bad), seconds=1, **RUN))
    with pytest.raises(ModelError, match="NaN or infinite"):
        add_model(str(bad), folder=tmp_path / "library")
    assert not list(tmp_path.glob("library/*"))
    write_phantoms(tmp_path / "scans", ("anna",))
    with pytest.raises(ModelError, match="NaN or infinite"):
        finetune(small_run(tmp_path, tmp_path / "scans", network=None, init_from=str(bad)))
    assert not (tmp_path / "run").exists()


def test_on_the_command_line_nothing_is_written(bad, scan, tmp_path, capsys, monkeypatch):
    write_map(tmp_path / "scan.nii.gz", scan)
    kaf = command_line(capsys, monkeypatch, tmp_path / "here")
    done = kaf("segment", tmp_path / "scan.nii.gz", "--model", bad, *HERE)
    assert done.code == 1
    assert done.err.startswith(f"kaf: {bad}: holds weights that are NaN or infinite (head.weight,")
    assert "mL" not in done.out
    assert files_here() == set()


def test_such_weights_are_not_saved_either(tmp_path, model):
    network = tiny_network()
    with torch.no_grad():
        network.head.weight[0] = INF
    with pytest.raises(ModelError, match=r"would hold weights that are NaN or infinite \(head\.weight"):
        save_model(tmp_path / "m.safetensors", network, read_card(model))
    assert list(tmp_path.iterdir()) == []


class Answers(torch.nn.Module):
    """Logits of two classes that are not finite in one pixel of the slices whose mean lies above ``least``."""

    def __init__(self, value, least=0.0):
        super().__init__()
        self.value, self.least = value, least

    def forward(self, image, keypoints=None, mask=None, capture=False):
        logits = torch.zeros(len(image), 2, *image.shape[2:])
        if bool((image.flatten(1).mean(1) > self.least).any()):
            logits[image.flatten(1).mean(1) > self.least, 1, ..., 2, 3] = self.value
        return Features(logits, [], logits, [], [])


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("flips", [False, True])
def test_an_answer_that_is_no_number_is_an_error_that_names_the_slice(value, flips):
    image = np.zeros((5, 16, 16), np.float32)
    image[3] = 1
    points = [Keypoints(np.zeros((1, 2), np.float32), np.ones(1, np.float32))] * 5
    predictor = SlicePredictor(Answers(value), CPU, batch=2, flips=flips, source="heart.nrrd")
    with pytest.raises(InputError) as caught:
        list(predictor(image, points))
    assert caught.value.subject == "heart.nrrd"
    assert caught.value.reason == "the model's output for slice 3 contains values that are NaN or infinite"
    assert [index for part, _ in SlicePredictor(Answers(value), CPU, batch=2, flips=flips)(image, points, [0, 1, 4])
            for index in part] == [0, 1, 4]


@pytest.mark.parametrize("flips", [False, True])
def test_the_same_in_3d(flips):
    image = np.ones((9, 16, 16), np.float32)
    predictor = VolumePredictor(Answers(NAN), CPU, flips=flips, patch=(4, 16, 16), source="heart.nrrd")
    with pytest.raises(InputError, match=r"^heart\.nrrd: the model's output for slice 0 contains values that are NaN"):
        list(predictor(image))


def overflowing(folder: Path) -> Path:
    """A model whose weights are numbers, and whose answers are none."""
    path = tiny_model(folder / "huge.safetensors")
    tensors, metadata = load_weights(path)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    tensors["head.weight"].fill_(3e38)
    card = replace(read_card(path), digest=digest_of(tensors))
    card = replace(card, card_digest=card.digest_of_words())
    save_weights(path, tensors, {**metadata, CARD_KEY: card.to_json()})
    return path


def test_segmenting_explaining_and_adapting_with_such_answers_is_an_error(scan, tmp_path):
    model = str(overflowing(tmp_path))
    scan = replace(scan, source="heart.nrrd")
    drawn = Volume(np.ones(scan.voxels.shape, np.uint8), scan.affine)
    for work in (lambda: run(model, scan), lambda: explain(scan, ExplainSettings(model=model, **RUN)),
                 lambda: adapt(scan, drawn, AdaptSettings(model=model, seconds=1, **RUN))):
        with pytest.raises(InputError, match=r"^heart\.nrrd: the model's output for slice 0 contains values that are"):
            work()


def test_of_a_folder_of_scans_each_is_reported(scan, tmp_path):
    from kaf.data.folder import scan_folder

    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        write_volume(tmp_path / "scans" / f"{name}.nii.gz", scan.voxels, scan.spacing)
    found = segment_folder(scan_folder(tmp_path / "scans").cases,
                         SegmentSettings(model=str(overflowing(tmp_path)), **RUN), tmp_path / "out")
    assert sorted(found.failed) == ["a", "b"]
    assert not list((tmp_path / "out").glob("*.nrrd"))


def test_a_training_whose_validation_gives_no_numbers_ends_as_a_message(tmp_path, monkeypatch):
    write_phantoms(tmp_path / "scans", ("anna", "bert"))
    honest = loop_module.Loop._validate

    def after_an_accident(self):
        with torch.no_grad():
            self.ema.network.get_submodule("head").weight.fill_(3e38)
        return honest(self)

    monkeypatch.setattr(loop_module.Loop, "_validate", after_an_accident)
    with pytest.raises(ResourceError, match=r"^training step \d+: .*not be validated \(bert: the model"):
        finetune(small_run(tmp_path, tmp_path / "scans", validation_cases=("bert",)))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def with_holes(scan: Volume, value: float = NAN) -> Volume:
    voxels = scan.voxels.astype(np.float32)
    voxels[1:3, 5:9, 5:9] = value
    return replace(scan, voxels=voxels, source="heart.nrrd")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_scan_in_memory_with_holes_is_cleaned_with_a_warning(model, scan, value):
    """As it is when read from a file."""
    filled = with_holes(scan, float(scan.voxels.min()))
    expected = run(model, filled)
    found = run(model, with_holes(scan, value))
    assert found.labels.voxels.any()
    np.testing.assert_array_equal(found.labels.voxels, expected.labels.voxels)
    assert [text for text in found.warnings if text not in expected.warnings] == [
        f"32 voxels (0.156 %) are NaN or infinite; they were set to the smallest value, {scan.voxels.min():g}."]
    shown = explain(with_holes(scan, value), ExplainSettings(model=str(model), **RUN))
    assert np.isfinite(shown.weights).all()
    assert any("32 voxels" in text for text in shown.warnings)


def test_a_scan_in_memory_without_any_number_is_refused(model, scan):
    empty = replace(scan, voxels=np.full(scan.voxels.shape, NAN, np.float32), source="heart.nrrd")
    with pytest.raises(InputError, match=r"^heart\.nrrd: has no finite voxel"):
        run(model, empty)


def test_numbers_beyond_float32_count_as_infinite(model, scan):
    voxels = scan.voxels.astype(np.float64)
    voxels[0, 0, 0] = 1e300
    found = run(model, replace(scan, voxels=voxels))
    assert any(text.startswith("1 voxels") for text in found.warnings)


def test_adapting_to_a_scan_with_holes_warns_and_learns(model, scan):
    drawn = np.zeros(scan.voxels.shape, np.uint8)
    drawn[2, 20:40, 20:40] = 3
    reported = []
    done = adapt(with_holes(scan), Volume(drawn, scan.affine), AdaptSettings(model=str(model), seconds=1, **RUN),
                 reported.append)
    assert sum("32 voxels" in getattr(event, "text", "") for event in reported) == 1
    assert all(bool(torch.isfinite(value).all()) for value in done.network.state_dict().values())


def test_the_worker_says_so_too(model, bad, scan, tmp_path):
    """What Slicer hands over is not read from a file."""
    with Client(threads=1, log=tmp_path / "log.txt") as client:
        settings = {"model": str(model), **RUN}
        holes = with_holes(scan)
        found = client.request("segment", settings, {"image": (holes.voxels, holes.affine)})
        assert any("32 voxels" in text for text in found["warnings"])
        assert found["arrays"]["labels"][0].any()
        with pytest.raises(ModelError, match="holds weights that are NaN or infinite"):
            client.request("segment", {**settings, "model": str(bad)}, {"image": (scan.voxels, scan.affine)})


def test_a_heart_without_holes_says_nothing(model):
    whole = cardiac_phantom(3, slices=5, size=64, spacing=2.5)[0]
    assert not any("NaN" in text for text in run(model, whole).warnings)
