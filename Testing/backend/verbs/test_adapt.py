"""Adaptation from a few finished slices: what a person drew stays, the rest follows, the base model is untouched."""

from __future__ import annotations

import numpy as np
import pytest
from made_models import RUN, STORAGES, only, stored, tiny_model

from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import Volume
from kaf.modelfile.model import load_model
from kaf.phantom.heart import LV_CAVITY, cardiac_phantom
from kaf.runtime.errors import InputError
from kaf.settings.adapt import AdaptSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs import adapt as adapt_module
from kaf.verbs.adapt import adapt
from kaf.verbs.segment import segment


@pytest.fixture(scope="module")
def heart() -> tuple[Volume, Volume]:
    return cardiac_phantom(3, slices=5, size=64, spacing=3.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", spacing=3.2)


def settings(model, **more) -> AdaptSettings:
    return AdaptSettings(**{"model": str(model), "seconds": 1, "batch": 2, "patch": 64, **RUN, **more})


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (False,) * 3), *STORAGES[1::2]])
def test_finished_slices_stay_as_drawn_however_the_scan_is_stored(heart, model, order, flips):
    scan, truth = (stored(volume, order, flips) for volume in heart)
    axis = order.index(0)
    drawn = only(truth, [1, 3], axis)
    result = adapt(scan, drawn, settings(model, slices=(1, 3)))
    made = np.moveaxis(result.segmentation.labels.voxels, axis, 0)
    assert np.array_equal(made[[1, 3]], np.moveaxis(truth.voxels, axis, 0)[[1, 3]])
    assert result.segmentation.labels.voxels.shape == scan.shape
    assert result.finished == (1, 3)
    assert set(result.review) == set(range(5)) - set(result.finished)


def test_slices_with_labels_are_finished_when_none_are_named(heart, model):
    scan, truth = heart
    result = adapt(scan, only(truth, [2]), settings(model))
    assert result.finished == (2,)


def test_learning_makes_the_finished_slices_fit(heart, model):
    scan, truth = heart
    drawn = only(truth, [1, 2, 3])

    def fit(labels: np.ndarray) -> float:
        return float((labels[1:4] == truth.voxels[1:4]).mean())

    before = fit(segment(scan, SegmentSettings(model=str(model), **RUN)).labels.voxels)
    adapted = adapt(scan, drawn, settings(model, slices=(1, 2, 3), seconds=4, learning_rate=0.01))
    path = model.with_name("adapted.safetensors")
    adapted.save(path, overwrite=True)
    after = fit(segment(scan, SegmentSettings(model=str(path), **RUN)).labels.voxels)
    assert after > before + 0.1


def test_a_new_structure_gets_a_model_of_its_own(heart, model):
    scan, truth = heart
    lv = Volume((truth.voxels == LV_CAVITY).astype(np.uint8), truth.affine)
    result = adapt(scan, only(lv, [1, 3]), settings(model, labels={1: "left ventricle"}, name="lv"))
    assert set(np.unique(result.segmentation.labels.voxels)) <= {0, 1}
    path = model.with_name("lv.safetensors")
    result.save(path, overwrite=True)
    _, card = load_model(path)
    assert (card.name, card.label_names) == ("lv", {1: "left ventricle"})
    assert card.weights_licence == "CC0-1.0"
    assert card.recipe["base"] == "tiny"


def test_the_base_model_is_untouched(heart, model):
    before = model.read_bytes()
    adapt(*heart, settings(model, slices=(2,)))
    assert model.read_bytes() == before


def test_what_cannot_be_learned_is_reported(heart, model):
    scan, truth = heart
    with pytest.raises(InputError, match="hold no finished slice"):
        adapt(scan, Volume(np.zeros_like(truth.voxels), truth.affine), settings(model))
    with pytest.raises(InputError, match="9 is not in the scan"):
        adapt(scan, truth, settings(model, slices=(9,)))
    with pytest.raises(InputError, match="do not lie on the grid"):
        adapt(scan, Volume(truth.voxels[:-1], truth.affine), settings(model))
    with pytest.raises(InputError, match="value 7, which is not a structure of tiny"):
        adapt(scan, Volume(np.full_like(truth.voxels, 7), truth.affine), settings(model))


def test_a_correction_leaves_what_was_right_elsewhere(heart, model, monkeypatch):
    """While a correction is learned, the other slices keep the base model's labels, as far as it was right."""
    scan, _ = heart
    seen = {}
    real = adapt_module.LabelledSlices

    class Watched(real):
        def __init__(self, cases, *rest, slices, **more):
            seen["labels"], seen["slices"] = cases[0].labels, [index for _, index in slices]
            super().__init__(cases, *rest, slices=slices, **more)

    monkeypatch.setattr(adapt_module, "LabelledSlices", Watched)
    base = segment(scan, SegmentSettings(model=str(model), **RUN))  # it has never seen a mirrored scan
    guess = base.labels.voxels
    drawn = Volume(np.where(np.arange(5)[:, None, None] == 2, guess, 0), scan.affine)  # the model was right
    adapt(scan, drawn, settings(model, slices=(2,)))
    grid = canonical_grid(scan.shape, scan.affine, 3.2, "largest-spacing")
    shown = grid.labels_to_canonical(guess)
    assert (seen["labels"] == shown).mean() > 0.99
    share = 1 - seen["slices"].count(2) / len(seen["slices"])
    assert 0.25 < share < 0.5
    wrong = Volume(np.where(guess[2] == 0, 1, 0)[None].repeat(5, 0) * (np.arange(5) == 2)[:, None, None], scan.affine)
    adapt(scan, wrong, settings(model, slices=(2,)))
    assert set(seen["slices"]) == {2}, "a model that was all wrong there teaches nothing elsewhere"


def test_slices_to_check_are_counted_as_the_scan_is_stored(heart, model):
    """Whoever hands the first of them back as finished means the same slice."""
    scan, truth = (stored(volume, (0, 1, 2), (True, False, False)) for volume in heart)
    straight = adapt(heart[0], only(heart[1], [1]), settings(model, slices=(1,), seconds=1))
    turned = adapt(scan, only(truth, [3]), settings(model, slices=(3,), seconds=1))
    assert turned.finished == (3,)
    assert straight.finished == (1,)
    assert set(turned.review) == {0, 1, 2, 4}
    assert set(straight.review) == {0, 2, 3, 4}


def test_a_structure_that_the_weights_know_by_another_name_is_found_again(monkeypatch):
    """Both cavities drawn as one: the model's own labels of them guide the slices that nobody has drawn."""
    seen = {}
    real = adapt_module.LabelledSlices

    class Watched(real):
        def __init__(self, cases, *rest, slices, **more):
            seen["labels"], seen["slices"] = cases[0].labels, {index for _, index in slices}
            super().__init__(cases, *rest, slices=slices, **more)

    monkeypatch.setattr(adapt_module, "LabelledSlices", Watched)
    scan, truth = cardiac_phantom(4, slices=6, size=96, spacing=1.5)
    cavities = Volume(np.isin(truth.voxels, (1, LV_CAVITY)).astype(np.uint8), truth.affine)
    adapt(scan, only(cavities, [2, 3]), AdaptSettings(
        model="cardiac-mr-sax", slices=(2, 3), labels={1: "blood"}, seconds=1, **RUN))
    grid = canonical_grid(scan.shape, scan.affine, 1.5, "largest-spacing")
    wanted = grid.labels_to_canonical(cavities.voxels)
    assert seen["slices"] == set(range(6))
    assert 2 * ((seen["labels"] == 1) & (wanted == 1)).sum() / ((seen["labels"] == 1).sum() + (wanted == 1).sum()) > 0.9
