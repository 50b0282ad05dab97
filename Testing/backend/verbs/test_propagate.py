"""Propagation from a few finished slices: these stay as drawn, the others follow at once, and bad input is refused or
told in words."""

from __future__ import annotations

import numpy as np
import pytest
from made_models import RUN, STORAGES, only, stored, tiny_model

from kaf.imaging.volume import Volume
from kaf.memory.features import ScanFeatures
from kaf.phantom.heart import cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message
from kaf.runtime.message_codes import CHOICE, CONTRADICTION
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate


@pytest.fixture(scope="module")
def heart() -> tuple[Volume, Volume]:
    return cardiac_phantom(3, slices=9, size=64, spacing=3.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.2)


def settings(model, **more) -> PropagateSettings:
    return PropagateSettings(**{"model": str(model), **RUN, **more})


def dice(made: np.ndarray, truth: np.ndarray) -> float:
    """Of everything that is labelled."""
    return 2 * float(((made > 0) & (made == truth)).sum()) / float((made > 0).sum() + (truth > 0).sum())


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (False,) * 3), *STORAGES[1::2]])
def test_finished_slices_stay_as_drawn_however_the_scan_is_stored(heart, model, order, flips):
    scan, truth = (stored(volume, order, flips) for volume in heart)
    axis = order.index(0)
    result = propagate(scan, only(truth, [1, 4, 7], axis), settings(model, slices=(1, 4, 7)))
    made, wanted = (np.moveaxis(array, axis, 0) for array in (result.labels.voxels, truth.voxels))
    assert np.array_equal(made[[1, 4, 7]], wanted[[1, 4, 7]])
    between = [2, 3, 5, 6]
    assert dice(made[between], wanted[between]) > 0.7
    assert result.finished == (1, 4, 7)
    assert set(result.review) == set(range(9)) - {1, 4, 7}
    assert result.confidence.voxels.shape == scan.shape
    assert np.moveaxis(result.confidence.voxels, axis, 0)[[1, 4, 7]].min() == 1


def test_the_result_does_not_depend_on_how_the_scan_is_stored(heart, model):
    drawn = only(heart[1], [1, 4, 7])
    straight = propagate(heart[0], drawn, settings(model, slices=(1, 4, 7))).labels.voxels
    flips = (True, False, True)
    turned = propagate(stored(heart[0], (0, 1, 2), flips), stored(drawn, (0, 1, 2), flips),
                       settings(model, slices=(1, 4, 7))).labels.voxels
    assert (turned[::-1, :, ::-1] == straight).mean() > 0.999


def test_the_report_tells_how_sure_each_slice_is_and_where_it_came_from(heart, model):
    told = []
    result = propagate(heart[0], only(heart[1], [1, 4, 7]), settings(model), told.append)
    report = result.report()
    assert report["finished"] == [1, 4, 7]
    assert report["next"] == report["review"][0]
    assert report["slices"]["3"]["place"] == "between"
    assert report["slices"]["3"]["finished"] == [1, 4]
    assert report["slices"]["8"]["place"] == "beyond"
    assert all(0 <= values["confidence"] <= 1 for values in report["slices"].values())
    assert [event.data["source"] for event in told if isinstance(event, Message) and event.code == CHOICE] == [
        report["choice"]["source"]]
    assert set(report["seconds"]) == {"load", "features", "update"}


def test_a_voxel_says_which_finished_slices_its_label_came_from(heart, model):
    result = propagate(heart[0], only(heart[1], [1, 4, 7]), settings(model, use="memory"))
    row, column = (int(place[len(place) // 2]) for place in np.nonzero(result.labels.voxels[3] == 3))
    found = result.provenance((column, row, 3))
    assert {item["slice"] for item in found} <= {1, 4}
    assert all(item["voxel"][2] == item["slice"] for item in found)
    weights = [item["weight"] for item in found]
    assert weights == sorted(weights, reverse=True)
    assert 0 < sum(weights) <= 1.001
    by_label = {label: sum(item["weight"] for item in found if item["label"] == label) for label in range(4)}
    assert max(by_label, key=lambda label: by_label[label]) == 3
    assert result.provenance((column, row, 4)) == []
    with pytest.raises(InputError, match="is not in the scan"):
        result.provenance((column, row, 99))


def test_warm_features_change_nothing_and_are_not_computed_again(heart, model, monkeypatch):
    cache = {}
    drawn = only(heart[1], [1, 4, 7])
    propagate(heart[0], drawn, settings(model, slices=(1, 7)), cache=cache)
    monkeypatch.setattr("kaf.memory.features.fit_projection", lambda *_: pytest.fail("computed again"))
    warm = propagate(heart[0], drawn, settings(model, slices=(1, 4, 7)), cache=cache)
    monkeypatch.undo()
    cold = propagate(heart[0], drawn, settings(model, slices=(1, 4, 7)))
    assert (warm.labels.voxels == cold.labels.voxels).mean() > 0.999


def test_one_finished_slice_is_enough_and_the_choice_says_that_nothing_was_compared(heart, model):
    result = propagate(heart[0], only(heart[1], [4]), settings(model))
    assert dice(result.labels.voxels[[3, 5]], heart[1].voxels[[3, 5]]) > 0.5
    assert result.choice.reason in ("few", "unknown")
    assert result.choice.slices == 0


def test_a_finished_slice_without_the_structure_shows_where_it_ends(heart, model):
    scan, truth = heart
    ends = np.where(np.arange(9)[:, None, None] < 6, truth.voxels, 0).astype(np.uint8)
    drawn = only(Volume(ends, truth.affine), [1, 4])
    told = propagate(scan, drawn, settings(model, slices=(1, 4, 6))).labels.voxels
    assert np.array_equal(told[6], np.zeros_like(told[6]))
    assert not told[7:].any()


def test_a_structure_in_one_of_several_finished_slices_stays_near_it(heart, model):
    drawn = only(heart[1], [4])
    made = propagate(heart[0], drawn, settings(model, slices=(1, 4, 7))).labels.voxels
    assert np.array_equal(made[4], heart[1].voxels[4])
    assert not made[[0, 1, 7, 8]].any()


def test_forty_structures_at_once_stay_apart(heart, model):
    scan, _ = heart
    rows, columns = np.mgrid[:64, :64]
    tiles = np.where((rows < 40) & (columns < 64), rows // 8 * 8 + columns // 8 + 1, 0).astype(np.uint8)
    assert tiles.max() == 40
    drawn = np.zeros_like(heart[1].voxels)
    drawn[[2, 6]] = tiles
    result = propagate(scan, Volume(drawn, scan.affine), settings(model, slices=(2, 6)))
    assert len(result.structures) == 40
    assert len(np.unique(result.labels.voxels[4])) > 30
    assert (result.labels.voxels[4] == tiles).mean() > 0.6


def test_a_finished_slice_that_disagrees_with_the_others_is_reported(model):
    scan, truth = cardiac_phantom(3, slices=13, size=64, spacing=3.2)
    drawn = np.where(truth.voxels == 3, 3, 0).astype(np.uint8)
    drawn[6] = np.roll(drawn[6], 24, axis=1)  # drawn in the wrong place
    told = []
    result = propagate(scan, Volume(drawn, truth.affine),
                       settings(model, slices=(2, 4, 6, 8, 10)), told.append)
    found = [event for event in told if isinstance(event, Message) and event.code == CONTRADICTION]
    assert [event.data["slices"] for event in found] == [[6]]
    assert found[0].text in result.warnings
    assert np.array_equal(result.labels.voxels[6], drawn[6]), "and yet it stays as drawn"


def test_slices_of_two_directions_are_used_at_once():
    scan, truth = cardiac_phantom(3, slices=6, size=48, spacing=2.5)
    drawn, column = only(truth, [1, 5]), 22
    drawn.voxels[:, :, column] = truth.voxels[:, :, column]
    given = {"slices": (1, 5), "use": "memory"}
    lone = propagate(scan, only(truth, [1, 5]), settings("cardiac-mr-sax", **given)).labels.voxels
    both = propagate(scan, drawn, settings("cardiac-mr-sax", **given, sagittal=(column,))).labels.voxels
    assert np.array_equal(both[:, :, column], truth.voxels[:, :, column])
    beside = np.s_[2:5, :, [column - 2, column - 1, column + 1, column + 2]]
    right, before = ((labels[beside] == truth.voxels[beside]).mean() for labels in (both, lone))
    assert right >= before


def test_the_plane_of_the_drawn_slices_is_found(heart, model):
    scan, truth = heart
    result = propagate(scan, only(truth, [24, 32, 40], axis=2), settings(model))
    assert (result.plane, result.finished) == ("sagittal", (24, 32, 40))
    assert np.array_equal(result.labels.voxels[:, :, 32], truth.voxels[:, :, 32])


def test_a_click_labels_its_place_and_its_surroundings(heart, model):
    scan, truth = heart
    drawn = only(truth, [1, 7])
    rows, columns = np.nonzero(truth.voxels[4] == 3)
    row, column = int(rows.mean()), int(columns.mean())
    ras = (scan.affine @ [column, row, 4, 1])[:3]
    result = propagate(scan, drawn, settings(model, slices=(1, 7), clicks=[(*ras, 0)], click_radius=5))
    assert result.labels.voxels[4, row, column] == 0
    assert result.confidence.voxels[4, row, column] == 1
    told = []
    ras = (scan.affine @ [column, row, 1, 1])[:3]
    kept = propagate(scan, drawn, settings(model, slices=(1, 7), clicks=[(*ras, 0)]), told.append)
    assert np.array_equal(kept.labels.voxels[1], truth.voxels[1])
    assert [event.data for event in told if isinstance(event, Message) and event.code == CONTRADICTION] == [
        {"clicks": 1}]


def test_a_click_on_the_background_needs_no_finished_slice(heart, model, monkeypatch):
    """Nor one in every few slices that are read together."""
    monkeypatch.setattr("kaf.memory.completion.ScanMemory.batch", lambda self: 3)
    scan, _ = heart
    ras = (scan.affine @ [30, 30, 4, 1])[:3]
    result = propagate(scan, None, settings(model, labels={1: "right", 3: "left"}, clicks=[(*ras, 0)]))
    assert result.finished == ()
    assert result.labels.voxels[4, 30, 30] == 0
    assert result.confidence.voxels[4, 30, 30] == 1


def test_a_scan_of_very_many_slices_takes_no_more_memory_than_it_may(model, monkeypatch):
    """Room for the features of 8 of 30 slices: what is needed at a time stays, and all slices are labelled."""
    scan, truth = cardiac_phantom(3, slices=30, size=32, spacing=4.8)
    middle = int(np.argmax(truth.voxels.astype(bool).sum((1, 2))))
    finished, held, kept = (middle - 4, middle, middle + 4), [], ScanFeatures._keep
    plenty = propagate(scan, only(truth, list(finished)), settings(model, slices=finished, use="memory"))
    one = plenty.memory.features.bytes / 30
    monkeypatch.setattr("kaf.memory.features.MOST_BYTES", int(8 * one))
    monkeypatch.setattr("kaf.memory.completion.ScanMemory.batch", lambda self: 4)
    monkeypatch.setattr(ScanFeatures, "_keep", lambda self, found: (kept(self, found), held.append(self.bytes)))
    tight = propagate(scan, only(truth, list(finished)), settings(model, slices=finished, use="memory"))
    assert max(held) <= (12 + 8) * one, "12 slices show what the features are like"
    assert tight.memory.features.bytes <= 8 * one
    assert (tight.labels.voxels == plenty.labels.voxels).mean() > 0.999


def test_structures_get_the_names_that_are_given(heart, model):
    result = propagate(heart[0], only(heart[1], [1, 7]), settings(model, labels={1: "right", 3: "LV cavity"}))
    assert [label.name for label in result.structures] == ["right", "myocardium", "LV cavity"]
    assert set(result.volumes_ml) == {1, 2, 3}


def test_what_cannot_be_propagated_is_said_in_words(heart, model):
    scan, truth = heart
    empty = Volume(np.zeros_like(truth.voxels), truth.affine)
    with pytest.raises(InputError, match="hold no finished slice"):
        propagate(scan, empty, settings(model))
    with pytest.raises(InputError, match="hold no structure"):
        propagate(scan, empty, settings(model, slices=(2, 4)))
    with pytest.raises(InputError, match="9 is not in the scan"):
        propagate(scan, truth, settings(model, slices=(9,)))
    with pytest.raises(InputError, match="slice 64 is not in the scan"):
        propagate(scan, truth, settings(model, slices=(1,), sagittal=(64,)))
    with pytest.raises(InputError, match="do not lie on the grid"):
        propagate(scan, Volume(truth.voxels[:-1], truth.affine), settings(model))
    moved = truth.affine.copy()
    moved[0, 3] += 5
    with pytest.raises(InputError, match="hardening any transform"):
        propagate(scan, Volume(truth.voxels, moved), settings(model))
    with pytest.raises(InputError, match="mm is not in the scan"):
        propagate(scan, truth, settings(model, slices=(1,), clicks=[(1e4, 0, 0, 1)]))


def test_a_model_without_slice_features_is_refused(heart, tmp_path):
    other = tiny_model(tmp_path / "other.safetensors", spacing=3.2, network={"kind": "basicunet", "width": 8})
    with pytest.raises(InputError, match="gives no features of slices"):
        propagate(heart[0], only(heart[1], [2]), settings(other))
