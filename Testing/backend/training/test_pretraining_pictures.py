"""The pictures of a pretraining, pixel by pixel where that can be known."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from pretrain_toys import small_pretrainer, some_cases, some_views
from training_toys import CPU

from kaf.data.views import hide_squares
from kaf.methods.base import MethodInput
from kaf.methods.bim.picture import clusters
from kaf.methods.kaf.picture import FOUND, MISSED, matched
from kaf.methods.lrc.picture import regions
from kaf.methods.mae.picture import reconstruction
from kaf.methods.sheet import palette
from kaf.picture.sheet import BACKGROUND
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.events import Picture
from kaf.training.pretraining_pictures import Pictures


@pytest.fixture(scope="module")
def views():
    return some_views(some_cases())


@pytest.fixture
def given(views) -> MethodInput:
    batch = views.batch(1, 4)
    return MethodInput(batch, {name: SimpleNamespace(decoder=[]) for name in batch.views}, 1.0)


@pytest.mark.parametrize("place", [CPU, DeviceChoice(torch.device("cpu"), True, "bf16")])
def test_every_sheet_is_a_file_and_an_event(tmp_path, views, place):
    reported = []
    book = Pictures(views, place, tmp_path / "pictures", reported.append)
    for method in ("kaf+bim", "lrc+mae", "pcl"):
        book.draw(small_pretrainer(method).eval(), 40)
    files = {tmp_path / "pictures" / f"{name}-00000040.png" for name in ("matches", "clusters", "regions", "drawn")}
    assert set((tmp_path / "pictures").iterdir()) == files
    assert {event.path for event in reported if isinstance(event, Picture)} == {str(file) for file in files}
    for file in files:
        sheet = cv2.imread(str(file))
        assert sheet.min() < 30
        assert sheet.max() > 200
        assert (sheet[:20] == np.array(BACKGROUND)[::-1]).all()


def test_the_same_slices_are_drawn_every_time(tmp_path, views):
    books = [Pictures(views, CPU, tmp_path / name, lambda _: None) for name in "ab"]
    network = small_pretrainer("kaf").eval()
    first, second = (book.draw(network, 1)[0].read_bytes() for book in books)
    assert first == second


def test_lines_join_matches_and_tell_by_colour_whether_they_are_found(given):
    first, second = given.batch.views["anchor"], given.batch.views["neighbour"]
    first.keypoints[0, :2] = torch.tensor([[4.0, 4.0], [24.0, 4.0]])
    second.keypoints[0, :2] = torch.tensor([[4.0, 28.0], [24.0, 28.0]])
    first.mask[:], second.mask[:], given.batch.matches[:] = False, False, -1
    first.mask[0, :2] = second.mask[0, :2] = True
    given.batch.matches[0, :2] = torch.tensor([0, 1])
    log_p = torch.full((4, first.mask.shape[1] + 1, second.mask.shape[1] + 1), -9.0)
    log_p[0, 0, 0] = log_p[0, 1, -1] = 0.0  # the first is found, the second is thought to have no match
    sheet = matched(SimpleNamespace(transport=lambda _: log_p), given)
    assert sheet.legend[0][2] == "1 of 2 in 4 pairs: 50%, and 33.3% by chance"
    tile = sheet.rows[0][1][0].astype(int)
    height, width = tile.shape[:2]
    middle = width // 2  # the gap between the slices, where only lines are drawn
    for row, colour in ((4.5, FOUND), (24.5, MISSED)):
        line = tile[round(row / 32 * height), middle]
        assert np.abs(line - (0.75 * np.array(colour) + 0.25 * np.array(BACKGROUND))).max() < 12, row
        dot = tile[round(row / 32 * height), round(4.5 / 32 * height)]
        assert np.abs(dot - colour).max() < 12
    assert np.abs(tile[round(14 / 32 * height), middle] - BACKGROUND).max() == 0


def test_clusters_have_their_colours_darker_where_unsure_and_none_outside_the_slice(given):
    view = given.batch.views["anchor"]
    view.valid[:] = True
    view.valid[:, 24:] = False
    posterior = torch.zeros(4, 5, 32, 32)
    posterior[:, 1, :, :16], posterior[:, 3, :8, 16:] = 1.0, 1.0
    posterior[:, :, 8:, 16:] = 0.2
    posterior[:, 2, 8:, 16:] = 0.21
    method = SimpleNamespace(posteriors=lambda _: [posterior], settings=SimpleNamespace(level=0, clusters=5))
    sheet = clusters(method, given)
    assert "3 of 5" in sheet.rows[1][0]
    tile, colours = sheet.rows[1][1][0].astype(int), palette(5).astype(int)
    at = lambda row, column: tile[round(row / 32 * len(tile)), round(column / 32 * tile.shape[1])]  # noqa: E731
    assert np.abs(at(4, 4) - colours[1]).max() <= 1
    assert np.abs(at(4, 24) - colours[3]).max() <= 1
    assert np.abs(at(16, 24) - 0.42 * colours[2]).max() <= 3
    assert at(28, 4).max() == 0


def test_cluster_colours_are_easy_to_tell_apart():
    colours = cv2.cvtColor(palette(20)[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(20)
    assert apart.min() > 9  # a difference of 2.3 is just noticeable


def test_hidden_squares_are_covered_and_only_they_are_drawn_again(given):
    view = given.batch.views["anchor"]
    view.valid[:] = True
    given.batch.views["masked"] = masked = hide_squares(view, 0.5, 16, given.batch.seeds)
    masked.hidden[:, :16, :16], masked.hidden[:, 16:, 16:] = True, False
    given.features["masked"] = SimpleNamespace(decoder=[torch.zeros(4, 1, 32, 32)])
    sheet = reconstruction(SimpleNamespace(head=lambda maps: maps + 1e3), given)
    (_, slices), (_, shown), (words, drawn) = sheet.rows
    assert "standard deviations in the masked patches" in words
    half = len(slices[0]) // 2
    for whole, covered, made in zip(slices, shown, drawn, strict=True):
        assert (covered[:half - 2, :half - 2] == 38).all()
        assert (covered[half + 2:, half + 2:] == whole[half + 2:, half + 2:]).all()
        assert (made[:half - 20, :half - 20] == 255).all()  # far brighter than the slice
        assert np.abs(made[half + 20:, half + 20:].astype(int) - whole[half + 20:, half + 20:]).max() <= 1


def test_a_region_has_one_colour_in_both_views(given):
    for name in ("anchor", "again"):
        view = given.batch.views[name]
        view.image[:], view.valid[:], view.regions[:] = torch.linspace(0, 1, 32), True, 7
        view.regions[:, :, 16:] = 8
        view.regions[:, :4] = -1
    (_, first), (_, second) = regions(given).rows
    assert (first[0] == second[0]).all()
    side = len(first[0])
    tile = first[0].astype(int)
    left, right, none = tile[side // 2, side // 4], tile[side // 2, 3 * side // 4], tile[side // 20, side // 4]
    assert np.ptp(none) == 0  # grey where there is no region
    assert np.ptp(left) > 20
    assert np.abs((left - left.mean()) - (right - right.mean())).max() > 20
    edge = tile[side // 2, side // 2 - 3:side // 2 + 3].sum(1)
    assert edge.min() < 0.7 * min(left.sum(), right.sum())  # a dark line between them
