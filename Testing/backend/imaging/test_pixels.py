"""A keypoint between two pixels lies in the same pixel wherever it is used: in detection, network, views and losses."""

import numpy as np
import pytest
import torch
from method_toys import make_view

from kaf.data.views import hide_squares
from kaf.imaging.keypoints import space_apart
from kaf.imaging.pixels import nearest_pixel
from kaf.methods.align import inside
from kaf.network.occupied_cells import find_occupied_cells
from kaf.training.mixing import joined_keypoints

SIZE = (12, 10)
HALVES = [[row + 0.5, column + 0.5] for row in range(-1, 12) for column in range(-1, 10)]
CLOSE = [[3.4999, 2.5001], [-7.0, 20.0], [11.5, 9.5], [4.0, 0.0]]
POSITIONS = HALVES + CLOSE
PIXELS = [[min(max(int(np.floor(x + 0.5)), 0), n - 1) for x, n in zip(p, SIZE, strict=True)] for p in POSITIONS]


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
def test_a_half_goes_up_and_what_is_outside_goes_to_the_edge(kind):
    given = torch.tensor(POSITIONS, dtype=kind) if isinstance(kind, torch.dtype) else np.array(POSITIONS, kind)
    found = nearest_pixel(given, SIZE)
    assert type(found) is type(given)
    assert found.dtype in (torch.int64, np.int64)
    assert found.tolist() == PIXELS
    volume = nearest_pixel(given.reshape(-1)[:150].reshape(5, 10, 3), (12, 12, 12))
    assert volume.shape == (5, 10, 3)


def test_the_network_and_the_spacing_of_keypoints_agree():
    points = torch.tensor(POSITIONS)[:, None]
    sites = find_occupied_cells(points, torch.ones(len(points), 1, dtype=torch.bool), 1, *SIZE)
    assert sites.positions[:, 0].tolist() == PIXELS
    coarse = find_occupied_cells(points, torch.ones(len(points), 1, dtype=torch.bool), 4, 3, 3)
    assert coarse.positions[:, 0].tolist() == [[row // 4, column // 4] for row, column in PIXELS]
    kept = space_apart(np.array(POSITIONS, np.float32), 1, SIZE, 999)
    assert sorted(PIXELS[i] for i in kept) == sorted(map(list, {tuple(pixel) for pixel in PIXELS}))


@pytest.mark.parametrize("pixel", [(3, 4), (4, 4), (5, 5), (8, 7)])
def test_the_views_and_the_losses_agree(pixel):
    """Only one pixel is seen, or is valid: the keypoints that lie in it are those of the rule."""
    points = torch.tensor(HALVES)[None]
    mine = [found == list(pixel) for found in PIXELS[:len(HALVES)]]
    assert sum(mine) == 1
    only = torch.zeros(1, *SIZE, dtype=torch.bool)
    only[0, pixel[0], pixel[1]] = True
    everywhere = torch.ones(1, len(HALVES), dtype=torch.bool)
    _, mask = joined_keypoints((points, everywhere), (points[:, :0], everywhere[:, :0]), only)
    assert mask[0].tolist() == mine
    view = make_view(torch.zeros(1, 1, *SIZE), keypoints=points, mask=everywhere, valid=only)
    assert inside(view, points)[0].tolist() == mine
    hidden = hide_squares(view, 0.5, 1, torch.arange(1))
    assert hidden.hidden is not None
    covered = [bool(hidden.hidden[0, row, column]) for row, column in PIXELS[:len(HALVES)]]
    assert hidden.mask[0].tolist() == [not there for there in covered]
