"""Segmentation: the same anatomy however it is stored, exact maps and volumes, memory."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from made_models import LABELS, RUN, STORAGES, moved, run, stored, tiny_model, turned

from kaf.imaging.grid import Grid
from kaf.imaging.keypoints import detect
from kaf.imaging.volume import Volume
from kaf.imaging.write import write_map
from kaf.inference.region import keep_largest
from kaf.inference.segmentation import Segmentation
from kaf.modelfile.model import load_model
from kaf.runtime.errors import InputError
from kaf.runtime.events import Progress
from kaf.settings.explain import ExplainSettings
from kaf.settings.preparation import KeypointSettings
from kaf.verbs.explain import explain


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A model whose pixels are those of the phantom: nothing is resampled."""
    return tiny_model(tmp_path_factory.mktemp("model") / "exact.safetensors", spacing=2.5)


@pytest.fixture(scope="module")
def result(model, scan, cache) -> Segmentation:
    made = run(model, scan, cache, attention=True, uncertainty=True)
    assert np.count_nonzero(np.bincount(made.labels.voxels.ravel()) > 200) >= 2  # worth comparing
    return made


def plain_probabilities(path, volume: Volume, mirror: tuple[int, ...] = ()) -> np.ndarray:
    """(S, K, H, W), slice by slice, for a scan stored as the network sees it and not resampled."""
    network, card = load_model(path)
    voxels = volume.voxels.astype(np.float64)
    low, high = np.percentile(voxels, [0.5, 99.5])
    clipped = np.clip(voxels, low, high)
    tissue = clipped[clipped > low + 0.1 * (high - low)]
    image = (clipped.astype(np.float32) - np.float32(tissue.mean())) / np.float32(tissue.std())
    made = []
    for pixels in image:
        positions = detect(pixels, KeypointSettings(**card.keypoints)).positions.copy()
        for axis in mirror:
            positions[:, axis] = pixels.shape[axis] - 1 - positions[:, axis]
        seen = torch.from_numpy(np.flip(pixels, mirror).copy())[None, None]
        with torch.no_grad():
            scores = network(seen, torch.from_numpy(positions)[None]).logits[0].double().numpy()
        shares = np.exp(scores - scores.max(0))
        made.append(np.flip(shares / shares.sum(0), [axis + 1 for axis in mirror]))
    return np.stack(made)


def agree(labels: np.ndarray, shares: np.ndarray) -> None:
    """Each label is the likeliest one; where two are as good as equal either may win."""
    chosen = np.take_along_axis(shares, labels[:, None].astype(int), 1)[:, 0]
    assert (shares.max(1) - chosen).max() < 1e-4
    assert np.mean(labels == shares.argmax(1)) > 0.999


def test_labels_and_entropy_are_those_of_the_plain_network(exact, scan):
    made = run(exact, scan, uncertainty=True)
    shares = plain_probabilities(exact, scan)
    agree(made.labels.voxels, shares)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1) / np.log(4)
    np.testing.assert_allclose(made.uncertainty.voxels, entropy, atol=1e-4)
    assert made.uncertainty.voxels.dtype == np.float32


def test_flips_average_the_probabilities_of_the_mirrored_slices(exact, scan):
    made = run(exact, scan, flips=True, uncertainty=True)
    mirrors = ((), (0,), (1,), (0, 1))
    shares = np.mean([plain_probabilities(exact, scan, mirror) for mirror in mirrors], axis=0)
    agree(made.labels.voxels, shares)
    entropy = -(shares * np.log(shares)).sum(1) / np.log(4)
    np.testing.assert_allclose(made.uncertainty.voxels, entropy, atol=1e-4)
    assert not np.array_equal(made.labels.voxels, run(exact, scan).labels.voxels)
    assert any("has not learned from mirrored scans" in text for text in made.warnings)
    assert not any("mirrored" in text for text in run("cardiac-mr-sax", scan, flips=True).warnings)


@pytest.mark.parametrize(("order", "flips"), STORAGES)
@pytest.mark.parametrize("pose", [np.eye(4), turned()], ids=["straight", "oblique"])
def test_the_same_anatomy_however_the_scan_is_stored(model, scan, cache, result, order, flips, pose):
    there = Volume(scan.voxels, pose @ scan.affine)
    volume = stored(there, order, flips)
    made = run(model, volume, cache, attention=True, uncertainty=True)
    assert (made.labels.voxels.dtype, made.labels.shape) == (np.uint8, volume.shape)
    for item in (made.labels, made.attention, made.uncertainty):
        np.testing.assert_array_equal(item.affine, volume.affine)
    np.testing.assert_array_equal(made.labels.voxels, moved(result.labels.voxels, order, flips))
    for name in ("attention", "uncertainty"):
        reference = moved(getattr(result, name).voxels, order, flips)
        np.testing.assert_allclose(getattr(made, name).voxels, reference, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_size_changes_nothing(model, scan, cache, result, batch):
    made = run(model, scan, cache, attention=True, uncertainty=True, batch=batch)
    np.testing.assert_array_equal(made.labels.voxels, result.labels.voxels)
    np.testing.assert_allclose(made.attention.voxels, result.attention.voxels, atol=1e-4)
    np.testing.assert_allclose(made.uncertainty.voxels, result.uncertainty.voxels, atol=1e-4)


def test_maps_lie_in_their_range_on_the_grid_of_the_scan(result, scan):
    for item in (result.attention, result.uncertainty):
        assert (item.shape, item.voxels.dtype) == (scan.shape, np.float32)
        assert 0 <= item.voxels.min() < item.voxels.max() <= 1


def test_attention_is_what_explain_says_of_all_slices(model, scan, cache, result):
    said = explain(scan, ExplainSettings(model=str(model), smooth=6.0, combine="mean", **RUN), cache=cache)
    np.testing.assert_allclose(result.attention.voxels, said.attention.voxels, atol=1e-5)


def test_volumes_are_counts_times_the_size_of_a_voxel(model, scan, cache, result):
    assert result.volumes_ml == pytest.approx({
        label.value: np.count_nonzero(result.labels.voxels == label.value) * 2.5 * 2.5 * 8 / 1000
        for label in LABELS})
    for way in (0, 3):  # the first is left-handed
        made = run(model, stored(Volume(scan.voxels, turned() @ scan.affine), *STORAGES[way]), cache)
        assert made.volumes_ml == pytest.approx(result.volumes_ml)


@pytest.mark.parametrize("pose", [np.eye(4), turned()], ids=["straight", "oblique"])
@pytest.mark.parametrize("first", [1.7, 2.6], ids=["over two slices", "thinner than a slice"])
def test_a_region_of_interest_keeps_what_it_touches(model, scan, cache, result, pose, first):
    """Boxes given in voxels along the axes of the scan; turned, the box is in RAS and holds more voxels."""
    affine = pose @ scan.affine
    ends = np.array([[20.2, 11.0, first], [51.0, 40.6, 3.2]])
    in_ras = np.stack(np.meshgrid(*ends.T), -1).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    low, high = in_ras.min(0), in_ras.max(0)
    box = np.stack(np.meshgrid(*np.stack([low, high]).T), -1).reshape(-1, 3)
    ijk = (box - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    inside = np.ones(scan.shape, bool)  # voxels whose cell the box touches
    for axis, n in enumerate(reversed(scan.shape)):
        index = np.arange(n)
        touched = (index + 0.5 > ijk[:, axis].min() + 1e-6) & (index - 0.5 < ijk[:, axis].max() - 1e-6)
        inside &= touched.reshape([-1 if a == 2 - axis else 1 for a in range(3)])
    reported = []
    made = run(model, Volume(scan.voxels, affine), cache, reported.append, roi=(*low, *high))
    np.testing.assert_array_equal(made.labels.voxels, np.where(inside, result.labels.voxels, 0))
    assert made.labels.voxels.any()
    slices = int(inside.any((1, 2)).sum())
    assert [event.total for event in reported if isinstance(event, Progress)][-1] == slices
    if np.array_equal(pose, np.eye(4)):
        assert inside.sum() == (2 if first < 2.5 else 1) * 31 * 32


def test_a_region_of_interest_that_makes_no_sense(model, scan, cache):
    for box, words in (((500, 500, 500, 510, 510, 510), "outside the scan"),
                       ((-100, -100, 39, -50, -50, 20), "has no extent")):
        with pytest.raises(InputError, match=words):
            run(model, scan, cache, roi=box)


def test_the_largest_part_of_a_label_is_kept():
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[0, :3, :3], labels[1, 4:, 4:], labels[2, 0, 0], labels[1, 3, 3] = 1, 1, 1, 1
    labels[2, 5, :2], labels[0, 5, 5] = 2, 2
    kept, expected = labels.copy(), labels.copy()
    keep_largest(kept, (1, 7))
    expected[1, 4:, 4:] = expected[2, 0, 0] = expected[1, 3, 3] = 0  # (1, 3, 3) meets others at edges only
    np.testing.assert_array_equal(kept, expected)


def test_largest_component_of_a_segmentation(model, scan, cache, result):
    from skimage.measure import label

    divided = {value: label(result.labels.voxels == value, connectivity=1) for value in (1, 2, 3)}
    value = max(divided, key=lambda key: divided[key].max())
    made, parts = run(model, scan, cache, largest_component=(value,)), divided[value]
    sizes = np.bincount(parts.ravel())[1:]
    assert len(sizes) > 1
    gone = (parts > 0) & (parts != 1 + sizes.argmax())
    np.testing.assert_array_equal(made.labels.voxels, np.where(gone, 0, result.labels.voxels))
    assert made.volumes_ml[value] == pytest.approx(sizes.max() * 0.05)


def test_a_model_without_keypoints_says_that_it_has_no_attention(scan, tmp_path):
    path = tiny_model(tmp_path / "plain.safetensors", network={"fusion": "none"})
    made = run(path, scan, attention=True)
    assert "no keypoint attention" in " ".join(made.warnings)
    assert not made.attention.voxels.any()
    assert run(path, scan).warnings == ()


def test_progress_arrives_and_ends_at_the_number_of_slices(model, scan, cache):
    reported = []
    run(model, scan, cache, reported.append, batch=2)
    steps = [event for event in reported if isinstance(event, Progress)]
    assert {(step.stage, step.total) for step in steps} == {("segmenting", 5)}
    assert (steps[0].done, steps[-1].done, sorted(steps, key=lambda step: step.done)) == (0, 5, steps)


def test_scores_of_all_classes_are_held_for_two_batches_at_most(model, scan, cache, monkeypatch):
    """... and only at the model's resolution: a whole volume's would be the largest thing in memory."""
    seen, real = [], Grid.logits_to_input_slices

    def spy(self, logits):
        assert logits.shape == (1, 4, 20, 20)
        assert sum(one() is not None for one in seen) <= 1
        seen.append(weakref.ref(logits))
        return real(self, logits)

    monkeypatch.setattr(Grid, "logits_to_input_slices", spy)
    small = Volume(scan.voxels[:, :32, :32], np.diag([-1.0, -1.0, 8.0, 1.0]))  # shown to the model at 1.6 mm
    made = run(model, small, cache, batch=1, uncertainty=True)
    assert (made.labels.shape, len(seen)) == ((5, 32, 32), 5)


def test_the_callers_volume_is_left_alone(model, scan):
    voxels, affine = scan.voxels.astype(np.float32), scan.affine.copy()
    before = voxels.copy()
    voxels.flags.writeable = affine.flags.writeable = False
    made = run(model, Volume(voxels, affine), attention=True, roi=(-100, -100, 0, -50, -50, 30))
    np.testing.assert_array_equal(voxels, before)
    assert not np.shares_memory(made.labels.voxels, voxels)


def test_a_path_gives_what_a_volume_gives(model, scan, cache, result, tmp_path):
    write_map(tmp_path / "scan.nii.gz", scan)
    made = run(model, tmp_path / "scan.nii.gz", cache)
    np.testing.assert_array_equal(made.labels.voxels, result.labels.voxels)
    np.testing.assert_allclose(made.labels.affine, scan.affine, atol=1e-4)
