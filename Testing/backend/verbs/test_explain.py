"""Explanation: weights against a plain recomputation from captured attention, points, maps, markups."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from made_models import RUN, STORAGES, stored, tiny_model, turned

from kaf.imaging.volume import Volume
from kaf.inference.attention_maps import combine, keypoint_weights, scaled, spot_map
from kaf.inference.loaded_model import load_for_inference
from kaf.modelfile.model import load_model
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError, OutputError, SettingsError
from kaf.runtime.events import Message, Progress
from kaf.settings.explain import ExplainSettings
from kaf.verbs.explain import Explanation, explain

SLICE = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two blocks of four heads on three scales; keypoints so far apart that their spots stay apart."""
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=2.5,
                      network={"blocks": 2, "heads": 4, "scales": (True, False, True, True)},
                      keypoints={"limit": 40, "spacing": 9.0})


@pytest.fixture(scope="module")
def volume() -> Volume:
    """Stored the other way round and turned, not as the network sees it."""
    scan = cardiac_phantom(3, slices=4, size=64, spacing=2.5)[0]
    return stored(Volume(scan.voxels, turned() @ scan.affine), *STORAGES[3])


def run(model, volume, cache=None, on_event=lambda event: None, **more) -> Explanation:
    return explain(volume, ExplainSettings(model=str(model), **{**RUN, **more}), on_event, cache)


@pytest.fixture(scope="module")
def seen(model, volume):
    """Per slice, one at a time: keypoints (N, 2), and the attention of each scale (blocks, heads, N, N)."""
    prepared = load_for_inference(ExplainSettings(model=str(model), **RUN), str(model)).prepare(volume)
    network, _ = load_model(model)
    found = []
    for pixels, points in zip(prepared.image, prepared.keypoints, strict=True):
        with torch.no_grad():
            inputs = torch.from_numpy(pixels)[None, None], torch.from_numpy(points.positions)[None]
            features = network(*inputs, capture=True)
        found.append((points.positions, [layers[0].double().numpy() for layers in features.attention]))
    assert len({len(points) for points, _ in found}) > 1  # a batch of them is padded
    return found


def plain(layers: list[np.ndarray], how: str, scale: int | None, head: int | None) -> np.ndarray:
    """(N, N) by the formulas: heads, then blocks, then scales."""
    matrices = []
    for blocks in layers if scale is None else [layers[scale]]:
        each = blocks.mean(1) if head is None else blocks[:, head]
        if how == "mean":
            matrices.append((each[0] + each[1]) / 2)
        else:
            one = np.eye(each.shape[-1])
            matrices.append((each[1] + one) / 2 @ ((each[0] + one) / 2))
    return sum(matrices) / len(matrices)


def in_ras(positions: np.ndarray, index: int) -> np.ndarray:
    """Keypoints (row, column) of a canonical slice, by the phantom's own geometry before it was stored."""
    straight = turned() @ np.diag([-2.5, -2.5, 8.0, 1.0])
    return positions[:, ::-1] @ straight[:3, :2].T + index * straight[:3, 2] + straight[:3, 3]


@pytest.mark.parametrize(("how", "scale", "head"), [
    ("rollout", None, None), ("mean", None, None), ("rollout", 1, 3), ("mean", 2, None), ("mean", None, 0),
    ("mean", None, 1), ("rollout", None, 1), ("rollout", 0, 1), ("mean", 0, 0)])
def test_saliency_is_the_plain_formula(model, volume, cache, seen, how, scale, head):
    made = run(model, volume, cache, combine=how, scale=scale, head=head)
    assert made.explained == (0, 1, 2, 3)
    assert made.chosen is None
    for index, (positions, layers) in enumerate(seen):
        weights = made.weights[made.slices == index]
        np.testing.assert_allclose(weights, plain(layers, how, scale, head).mean(0), atol=1e-5)
        assert weights.sum() == pytest.approx(1)
        there = made.positions[made.slices == index]
        np.testing.assert_allclose(there, in_ras(positions, index), atol=1e-6)
    assert made.weights.max() > 1.2 * made.weights.min()  # not even


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("how", ["mean", "rollout"])
def test_a_point_picks_the_nearest_keypoint_of_its_slice(model, volume, cache, seen, direction, how):
    positions, layers = seen[SLICE]
    keypoint = len(positions) // 2
    matrix = plain(layers, how, None, None)
    point = in_ras(np.add(positions[keypoint:keypoint + 1], [1.5, -2.0]), SLICE)[0]
    point += 3.9 * turned()[:3, 2]  # almost half way to the slice above
    made = run(model, volume, cache, point=tuple(point), direction=direction, combine=how)
    distances = np.linalg.norm(in_ras(positions, SLICE) - point, axis=1)
    assert (made.chosen, made.explained) == (distances.argmin(), (SLICE,)) == (keypoint, (SLICE,))
    expected = matrix[keypoint] if direction == "from" else matrix[:, keypoint] / matrix[:, keypoint].sum()
    np.testing.assert_allclose(made.weights, expected, atol=1e-5)


@pytest.mark.parametrize("direction", ["saliency", "from", "to"])
@pytest.mark.parametrize("how", ["mean", "rollout"])
def test_each_head_looks_where_it_looks(model, volume, cache, seen, direction, how):
    """Of heads 0 to 3, each by its number, for every direction; no two of them are alike."""
    positions, layers = seen[SLICE]
    point = tuple(in_ras(positions[2:3], SLICE)[0])
    found = []
    for head in range(4):
        matrix = plain(layers, how, None, head)
        expected = {"saliency": matrix.mean(0), "from": matrix[2], "to": matrix[:, 2] / matrix[:, 2].sum()}[direction]
        found.append(run(model, volume, cache, point=point, direction=direction, combine=how, head=head).weights)
        np.testing.assert_allclose(found[-1], expected, atol=1e-5)
    found.append(run(model, volume, cache, point=point, direction=direction, combine=how).weights)
    for one in range(5):
        for other in range(one):
            assert np.abs(found[one] - found[other]).max() > 1e-3


def test_a_point_alone_chooses_the_slice_and_a_slice_given_with_it_wins(model, volume, cache, seen):
    point = tuple(in_ras(seen[SLICE][0][:1], SLICE)[0] + 4.1 * turned()[:3, 2])  # nearer to the next
    assert run(model, volume, cache, point=point).explained == (SLICE + 1,)
    made = run(model, volume, cache, point=point, slice=0, direction="from")
    assert made.explained == (0,)
    assert made.chosen == ((seen[0][0] - seen[SLICE][0][0]) ** 2).sum(1).argmin()


def test_the_map_peaks_where_the_attended_keypoint_lies(model, volume, cache):
    made = run(model, volume, cache, smooth=1.0)
    attention = made.attention
    assert (attention.shape, attention.voxels.dtype) == (volume.shape, np.float32)
    np.testing.assert_array_equal(attention.affine, volume.affine)
    assert attention.voxels.min() >= 0
    assert attention.voxels.max() == pytest.approx(1)
    k, j, i = np.unravel_index(attention.voxels.argmax(), volume.shape)
    peak = (volume.affine @ [i, j, k, 1])[:3]
    nearest = np.linalg.norm(made.positions - peak, axis=1).argmin()
    assert np.linalg.norm(made.positions[nearest] - peak) < 2.5  # mm: a pixel
    assert made.weights[nearest] > 0.8 * made.weights.max()


def test_one_slice_as_a_sheet_lies_where_the_whole_map_has_it(model, volume, cache):
    made = run(model, volume, cache, slice=1)
    sheet, whole = made.sheet(), made.attention
    assert sheet.voxels.shape == (1, *made.grid.size)
    k, j, i = np.unravel_index(whole.voxels.argmax(), whole.shape)
    here = np.linalg.inv(sheet.affine) @ whole.affine @ [i, j, k, 1]
    assert here[2] == pytest.approx(0, abs=1e-6)
    column, row = np.rint(here[:2]).astype(int)
    assert sheet.voxels[0, row, column] == sheet.voxels.max() == whole.voxels.max()
    assert np.count_nonzero(whole.voxels) == np.count_nonzero(sheet.voxels)  # other slices: nothing


def test_markups_are_what_slicer_reads(model, volume, cache, seen, tmp_path):
    point = tuple(in_ras(seen[SLICE][0][3:4], SLICE)[0])
    made = run(model, volume, cache, point=point, direction="to")
    made.save_markups(tmp_path / "k.mrk.json", top=12)
    saved = json.loads((tmp_path / "k.mrk.json").read_text())
    (markups,) = saved["markups"]
    assert saved["@schema"].endswith("markups-schema-v1.0.3.json#")
    assert (markups["type"], markups["coordinateSystem"]) == ("Fiducial", "LPS")
    assert markups["coordinateUnits"] == "mm"
    points = markups["controlPoints"]
    assert markups["locked"] is True
    assert all(item["locked"] is True and item["positionStatus"] == "defined" for item in points)
    order = sorted(range(len(made.weights)), key=lambda index: -made.weights[index])[:12]
    assert len({item["id"] for item in points}) == len(points) == 12
    for item, index in zip(points, order, strict=True):
        right, front, up = made.positions[index]
        assert item["position"] == pytest.approx([-right, -front, up], abs=1e-3)
        assert item["description"] == f"attention {made.weights[index]:.4f}"
        assert item["label"].endswith("(chosen)") == (index == made.chosen)
    with pytest.raises(OutputError, match="exists already"):
        made.save_markups(tmp_path / "k.mrk.json")
    made.save_markups(tmp_path / "k.mrk.json", overwrite=True)
    assert len(json.loads((tmp_path / "k.mrk.json").read_text())["markups"][0]["controlPoints"]) == min(
        50, len(made.weights))


@pytest.mark.parametrize(("wrong", "kind", "words"), [
    ({"point": (0, 0, 900.0)}, InputError, r"outside the scan.*millimetres"),
    ({"slice": 4}, InputError, r"slice: 4 is not in the scan.*0 to 3"),
    ({"scale": 3}, SettingsError, r"scale: is 3, but tiny has 3.*0 to 2"),
    ({"head": 4}, SettingsError, r"head: is 4, but tiny has 4.*0 to 3"),
    ({"direction": "from"}, SettingsError, r"'from' needs a point"),
])
def test_what_cannot_be_explained_is_said(model, volume, cache, wrong, kind, words):
    with pytest.raises(kind, match=words):
        run(model, volume, cache, **wrong)


def test_the_edge_of_the_scan_is_the_edge_of_its_voxels(model, volume, cache):
    ends = np.array(volume.shape[::-1]) - 0.5
    for beyond, inside in ((-0.01, True), (0.01, False)):
        for corner in (ends + beyond, [-0.5 - beyond] * 3):
            point = tuple((volume.affine @ [*corner, 1])[:3])
            if inside:
                assert len(run(model, volume, cache, point=point).explained) == 1
            else:
                with pytest.raises(InputError, match="outside the scan"):
                    run(model, volume, cache, point=point)


@pytest.mark.parametrize("network", [
    {"fusion": "none"}, {"fusion": "copy"}, {"blocks": 0}, {"scales": (False,) * 4},
], ids=["none", "copy", "no blocks", "no scales"])
def test_a_model_without_keypoint_attention_says_so(volume, tmp_path, network):
    with pytest.raises(InputError, match=r"tiny: has no keypoint attention"):
        run(tiny_model(tmp_path / "plain.safetensors", network=network), volume)


def test_progress_and_warnings_are_heard(model, volume, cache):
    reported = []
    thick = Volume(volume.voxels, volume.affine @ np.diag([3, 1, 1, 1]), warnings=("odd.",))
    made = run(model, thick, cache, reported.append, batch=1)
    assert made.warnings[0] == "odd."
    assert "mm apart" in made.warnings[1]
    assert [event for event in reported if isinstance(event, Message)] == [
        Message(text, "warning") for text in made.warnings]
    steps = [event for event in reported if isinstance(event, Progress)]
    assert (steps[-1].stage, steps[-1].done) == ("explaining", steps[-1].total)


def test_combined_attention_is_a_share_whatever_pads_the_batch():
    rng = np.random.default_rng(0)
    real, padded = 5, 8
    attention = []
    for _ in range(2):
        layers = np.zeros((3, 4, 2, padded, padded))
        layers[..., :real] = rng.dirichlet(np.ones(real), (3, 4, 2, padded))
        attention.append(torch.from_numpy(layers))
    for how in ("mean", "rollout"):
        for scale, head in ((None, None), (1, None), (None, 1), (0, 0)):
            matrix = combine(attention, 1, real, scale, head, how)
            assert matrix.shape == (real, real)
            np.testing.assert_allclose(matrix.sum(1), 1)
    whole = combine(attention, 1, real, 1, 1, "rollout")
    np.testing.assert_allclose(whole, np.linalg.multi_dot(
        [(attention[1][1, block, 1, :real, :real].numpy() + np.eye(real)) / 2 for block in (3, 2, 1, 0)]))
    matrix = np.array([[0.2, 0.8, 0], [0.5, 0.5, 0], [0.1, 0.9, 0]])
    np.testing.assert_allclose(keypoint_weights(matrix, "saliency"), [0.8 / 3, 2.2 / 3, 0])
    np.testing.assert_allclose(keypoint_weights(matrix, "from", 2), [0.1, 0.9, 0])
    np.testing.assert_allclose(keypoint_weights(matrix, "to", 0), [0.25, 0.625, 0.125])
    np.testing.assert_allclose(keypoint_weights(matrix, "to", 2), 0)  # nobody attends to it


@pytest.mark.parametrize("width", [2.0, 6.0])
def test_a_spot_map_is_the_sum_of_gaussians(width):
    """Of unit mass, with nothing beyond the edge; spreading onto four pixels first widens them a little."""
    positions = np.array([[10, 12], [10.5, 40.25], [0, 0], [59, 79], [33.3, 78.9], [33.3, 60.0]], np.float32)
    weights = np.array([0.3, 0.2, 0.1, 0.15, 0.05, 0.2])
    rows, columns = np.mgrid[:60, :80]
    expected = np.zeros((60, 80))
    for (row, column), weight in zip(positions.astype(float), weights, strict=True):
        square = (rows - row) ** 2 + (columns - column) ** 2
        expected += weight * np.exp(-square / (2 * width**2)) / (2 * np.pi * width**2)
    made = spot_map(positions, weights, (60, 80), width)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=0.04 * expected.max())
    only = spot_map(positions[:1], np.ones(1), (60, 80), width)  # on a pixel: nothing is widened
    square = (rows - 10) ** 2 + (columns - 12) ** 2
    np.testing.assert_allclose(only, np.exp(-square / (2 * width**2)) / (2 * np.pi * width**2),
                               atol=2e-3 * only.max())
    np.testing.assert_allclose(scaled(made).max(), 1)
    assert not scaled(np.zeros((2, 2), np.float32)).any()
