"""Slices of earlier patients: kept in a file, joined, read for another scan; a damaged file is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
from made_models import RUN, tiny_model

from kaf.imaging.volume import Volume
from kaf.memory.earlier import load_earlier, save_earlier
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate

NAMES = {1: "right", 2: "wall", 3: "left"}


def made(seed: int, model: str, slices=(1, 3), **more):
    scan, truth = cardiac_phantom(seed, slices=5, size=64, spacing=2.0)
    drawn = np.where(np.isin(np.arange(5), slices)[:, None, None], truth.voxels, 0).astype(np.uint8)
    source = f"patient{seed}.nrrd"
    return propagate(Volume(scan.voxels, scan.affine, source), Volume(drawn, scan.affine),
                     PropagateSettings(model=model, labels=NAMES, **RUN, **more)), truth


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """What the shipped heart model remembers of one patient, without having its own structures named."""
    path = tmp_path_factory.mktemp("memory") / "hearts.safetensors"
    save_earlier(path, made(1, "cardiac-mr-sax")[0].remember("2026-01-01"))
    return path


def test_a_memory_comes_back_as_it_was_saved(file):
    first = made(1, "cardiac-mr-sax")[0].remember("2026-01-01")
    there = load_earlier(file)
    assert (there.names, there.model, there.plane) == (NAMES, first.model, "axial")
    assert there.sources == ({"scan": "patient1.nrrd", "slice": 1, "day": "2026-01-01"},
                             {"scan": "patient1.nrrd", "slice": 3, "day": "2026-01-01"})
    assert len(there.labels) < 2 * (3 * 96 + 256) + 1
    assert set(there.labels.unique().tolist()) == {0, 1, 2, 3}
    assert bool((there.features == first.features).all())


def test_slices_of_a_scan_that_is_drawn_again_replace_its_old_ones(file):
    there = load_earlier(file)
    again, other = made(1, "cardiac-mr-sax", (3,))[0].remember(), made(2, "cardiac-mr-sax", (2,))[0].remember()
    both = there.joined(again).joined(other)
    assert [(item["scan"], item["slice"]) for item in both.sources] == [
        ("patient1.nrrd", 1), ("patient1.nrrd", 3), ("patient2.nrrd", 2)]
    assert int(both.slices.max()) == 2
    assert len(both.labels) == len(both.slices) == len(both.features) == len(both.places)


def test_another_patient_is_labelled_without_a_finished_slice(file):
    scan, truth = cardiac_phantom(5, slices=5, size=64, spacing=2.0)
    result = propagate(scan, None, PropagateSettings(memory=str(file), **RUN))
    assert result.choice.reason == "nothing"
    assert result.finished == ()
    assert [label.name for label in result.structures] == list(NAMES.values())
    labels = result.labels.voxels
    assert 2 * ((labels == 3) & (truth.voxels == 3)).sum() / ((labels == 3).sum() + (truth.voxels == 3).sum()) > 0.5


def test_a_memory_of_another_model_or_plane_is_refused(file, tmp_path):
    scan, _ = cardiac_phantom(5, slices=5, size=64, spacing=2.0)
    other = str(tiny_model(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="was made with the features of cardiac-mr-sax"):
        propagate(scan, None, PropagateSettings(memory=str(file), model=other, **RUN))
    with pytest.raises(InputError, match="holds axial slices"):
        propagate(scan, None, PropagateSettings(memory=str(file), axis="coronal", **RUN))
    with pytest.raises(InputError, match="Save these to another file"):
        load_earlier(file).joined(made(1, other)[0].remember())


@pytest.mark.parametrize("damage", ["cut", "flipped", "pickle", "model", "labels", "missing"])
def test_a_file_that_is_no_memory_is_refused(file, tmp_path, damage):
    path = tmp_path / "memory.safetensors"
    blob = bytearray(file.read_bytes())
    if damage == "cut":
        path.write_bytes(blob[:-100])
    elif damage == "flipped":
        blob[-50] ^= 1
        path.write_bytes(blob)
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04K\x01.")
    elif damage == "model":
        tiny_model(path)
    elif damage == "labels":
        there = load_earlier(file)
        save_earlier(path, type(there)(**{**vars(there), "names": {1: "right"}}))
    with pytest.raises(InputError, match=r"memory\.safetensors") as caught:
        propagate(cardiac_phantom(5, slices=3, size=64, spacing=2.0)[0], None,
                  PropagateSettings(memory=str(path), **RUN))
    assert "--save-memory" in caught.value.remedy


def test_the_file_is_plain_safetensors(file):
    tensors = safetensors.torch.load_file(file)
    assert set(tensors) == {"features", "labels", "places", "slices"}
