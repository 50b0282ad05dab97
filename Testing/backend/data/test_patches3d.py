"""3-D patches and pairs of crops: read where their matrix says, repeatable, and where something is to be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from volume_toys import some_volumes, trilinear

from kaf.data.geometry import Warp
from kaf.data.geometry3d import VolumeWarp, place_box
from kaf.data.patches3d import LabelledVolumes, darkest
from kaf.data.views3d import VolumePairs, shared
from kaf.settings.augmentation import AugmentationSettings

SIZE = (6, 16, 12)
STILL = AugmentationSettings(rotation=0, scale=1, elastic=0, intensity=0)
PAIRS = AugmentationSettings(rotation=25, flips=(True, True), elastic=0, intensity=0)


@pytest.mark.parametrize(("step", "first", "plane"), [
    (1.0, 2.0, ((1, 0, 3), (0, 1, 5))), (-0.75, 8.2, ((1.2, 0.3, 2.1), (-0.3, 1.1, 6.4))),
    (1.4, -3.0, ((-1, 0, 20), (0, 1, -4))), (1.0, 40.0, ((1, 0, 0), (0, 1, 0))), (1.0, 0.0, ((1, 0, 90), (0, 1, 0)))])
def test_a_volume_is_read_where_the_matrix_says(step, first, plane):
    volume, labels = some_volumes(1)[0].image, some_volumes(1)[0].labels
    warp = VolumeWarp(Warp(np.array(plane, float), (5, 7)), 4, step, first)
    found, named, valid = warp.image(volume, -9.0), warp.labels(labels), warp.valid(volume.shape)
    for index in np.ndindex(4, 5, 7):
        place = warp.matrix @ [*index, 1]
        inside = bool(((place >= 0) & (place <= np.array(volume.shape) - 1)).all())
        assert valid[index] == inside
        if inside or not ((place > -1) & (place < np.array(volume.shape))).all():
            # OpenCV reads at 1/32 of a pixel.
            whole = step % 1 == 0 and not np.any(np.array(plane) % 1)
            assert found[index] == pytest.approx(trilinear(volume, place, -9.0), abs=1e-5 if whole else 0.12)
        if inside and np.abs(place - np.floor(place) - 0.5).min() > 0.02:
            assert named[index] == labels[tuple(np.floor(place + 0.5).astype(int))]


def test_a_mirror_is_exact():
    volume = some_volumes(1)[0].image
    size = volume.shape
    plane = Warp(np.array([[-1, 0, size[1] - 1], [0, 1, 0]], float), size[1:])
    assert np.array_equal(VolumeWarp(plane, size[0], -1.0, size[0] - 1).image(volume, 0.0), volume[::-1, ::-1])


def test_a_box_lies_inside_where_it_fits():
    rng = np.random.default_rng(0)
    inside = [place_box(rng, 10, 30) for _ in range(200)]
    assert min(inside) >= 4.5
    assert max(inside) <= 24.5
    assert max(inside) - min(inside) > 15
    assert place_box(rng, 10, 30, 1.0) == 4.5
    assert place_box(rng, 10, 30, 12.25) == 12.25
    assert all(abs(place_box(rng, 10, 8) - 3.5) <= 0.5 for _ in range(20))


def test_a_batch_of_patches_is_a_function_of_seed_and_step():
    cases = some_volumes(3)
    patches = LabelledVolumes(cases, SIZE, AugmentationSettings(elastic=1.0, flips=(True, True)), 5)
    first, again, other = patches.batch(4, 3), patches.batch(4, 3), patches.batch(5, 3)
    assert first.image.shape == (3, 1, *SIZE)
    assert first.labels.shape == (3, *SIZE)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert first.image.dtype == np.float32
    assert first.labels.dtype == np.uint8
    assert len(patches) == 3


def test_labels_go_with_the_image():
    """Without changes of intensity the label of a voxel is recognised by its brightness, whatever the geometry."""
    cases = some_volumes(2)
    steep = AugmentationSettings(rotation=40, scale=1.2, flips=(True, True), elastic=1.0, intensity=0)
    for augmentation in (STILL, steep):
        batch = LabelledVolumes(cases, SIZE, augmentation, 1, foreground=1.0).batch(0, 12)
        image, labels = batch.image[:, 0], batch.labels
        assert (labels == 1).sum() > 100
        assert (labels == 2).sum() > 100
        assert image[labels == 1].mean() > 1.0
        assert image[labels == 2].mean() < -1.0


def test_structures_are_looked_at():
    case = some_volumes(1, (40, 80, 80))[0]
    case.labels[:] = 0
    case.labels[30:33, 60:64, 10:14] = 5
    held = {share: LabelledVolumes([case], SIZE, STILL, 0, share).batch(0, 30).labels.any((1, 2, 3)).mean()
            for share in (0.0, 1.0)}
    assert held[1.0] > 0.8
    assert held[0.0] < 0.3
    case.labels[:] = 0
    assert not LabelledVolumes([case], SIZE, STILL, 0, 1.0).batch(0, 2).labels.any(), "no structure is no error"


def test_a_small_volume_lies_in_air():
    case = some_volumes(1, (4, 10, 9))[0]
    batch = LabelledVolumes([case], (8, 16, 16), STILL, 0).batch(0, 4)
    air = batch.image == darkest(case.image)
    assert air.mean() > 0.7
    assert all(np.isin(np.float32(5.0), patch) or patch.std() > 0 for patch in batch.image)
    assert not batch.labels[air[:, 0]].any() or case.labels[case.image == darkest(case.image)].any()


def test_two_crops_share_enough_and_lie_where_they_say():
    cases = some_volumes(3, (20, 48, 40))
    for case in cases:  # an intensity that tells the place
        place = np.meshgrid(*map(np.arange, case.image.shape), indexing="ij")
        case.image[:] = (place[0] * 2.0 + place[1] * 0.5 - place[2] * 0.25).astype(np.float32)
    pairs = VolumePairs(cases, SIZE, PAIRS, 3, 0.3)
    shares, sides = [], []
    for step in range(8):
        batch = pairs.batch(step, 4)
        boxes = {}
        for view in batch.views.values():
            assert view.image.shape == (4, 1, *SIZE)
            index = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), -1).reshape(-1, 3)
            for item in range(4):
                matrix = view.matrix[item].double().numpy()
                place = index @ matrix[:, :3].T + matrix[:, 3]
                reported = place @ [2.0, 0.5, -0.25]
                valid = view.valid[item].numpy().reshape(-1)
                found = view.image[item].numpy().reshape(-1)
                assert np.abs(found - reported)[valid].max() < 0.05
                assert valid.mean() > 0.5
                scale = np.linalg.norm(matrix[:, :3], axis=0)
                assert scale == pytest.approx(np.full(3, scale[0]), rel=1e-5)
                sides.append(scale[0])
                boxes.setdefault(item, []).append((matrix @ [*(np.array(SIZE) - 1) / 2, 1], scale * SIZE))
        shares += [shared(*first, *second) for first, second in boxes.values()]
    assert min(shares) >= 0.3 - 1e-6
    assert max(shares) < 0.95
    assert 1.1 <= min(sides) < 1.15
    assert 1.35 < max(sides) <= 1.4


def test_axes_are_mirrored_each_by_itself():
    pairs = VolumePairs(some_volumes(2), SIZE, PAIRS.model_copy(update={"rotation": 0.0}), 0)
    matrices = torch.cat([view.matrix for step in range(8) for view in pairs.batch(step, 4).views.values()])
    signs = {tuple(torch.diagonal(matrix[:, :3]).sign().int().tolist()) for matrix in matrices}
    assert len(signs) == 8
    still = VolumePairs(some_volumes(2), SIZE, STILL, 0).batch(0, 4)
    assert all((torch.diagonal(view.matrix[:, :, :3], dim1=1, dim2=2) > 0).all() for view in still.views.values())


def test_pairs_are_a_function_of_seed_and_step_and_go_into_parts():
    pairs = VolumePairs(some_volumes(3), SIZE, PAIRS.model_copy(update={"intensity": 1.0}), 7)
    whole, again = pairs.batch(2, 4), pairs.batch(2, 4)
    parts = [pairs.batch(2, 4, slice(start, start + 2)) for start in (0, 2)]
    for name, view in whole.views.items():
        assert torch.equal(view.image, again.views[name].image)
        assert torch.equal(view.image, torch.cat([part.views[name].image for part in parts]))
        assert torch.equal(view.matrix, torch.cat([part.views[name].matrix for part in parts]))
    assert torch.equal(whole.seeds, torch.cat([part.seeds for part in parts]))
    assert not torch.equal(whole.views["anchor"].image, pairs.batch(3, 4).views["anchor"].image)
