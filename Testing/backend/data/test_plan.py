"""What fine-tuning chooses by itself: plane, spacing, patch, normalisation, network."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_models import PLAIN, write_volume

from kaf.data.acquisition import acquired_plane, usual_plane
from kaf.data.folder import Case
from kaf.data.plan import make_plan
from kaf.data.structures import measure
from kaf.runtime.errors import InputError
from kaf.runtime.events import Progress
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import NormalisationSettings

WINDOW = NormalisationSettings(kind="window", low=-200, high=300)


def case(folder, name="a", shape=(8, 40, 40), spacing=(1.0, 1.0, 5.0), values=(1, 2), scan="MR", labels=None):
    """A case of noise; its labels are boxes side by side, or what is given."""
    random = np.random.default_rng(0)
    image = random.integers(1, 3000, shape).astype(np.int16)
    if scan == "CT":
        tissue = random.integers(-100, 200, shape)
        image = np.where(random.random(shape) < 0.5, -1000, tissue).astype(np.int16)
    if labels is None:
        labels = np.zeros(shape, np.uint8)
        for index, value in enumerate(values):
            labels[2:6, 4:12, 4 * index + 4:4 * index + 8] = value
    write_volume(folder / f"{name}.nii.gz", image, spacing)
    write_volume(folder / f"{name}_gt.nii.gz", labels, spacing)
    return Case(name, name, folder / f"{name}.nii.gz", folder / f"{name}_gt.nii.gz")


def settings(**values):
    return FinetuneSettings(data="scans", output="run", **values)


@pytest.mark.parametrize(("spacing", "thick"), [((1, 1, 5), True), ((1, 5, 1), True), ((1, 1, 1.25), True),
                                               ((1, 1, 1.15), False), ((1, 1, 1), False)])
def test_thick_slices_stay_as_they_are(tmp_path, spacing, thick):
    plan = make_plan([case(tmp_path, spacing=spacing, shape=(20, 20, 20))], settings())
    assert (plan.slicing_axis == "largest-spacing") == thick


def test_the_median_scan_decides_whether_slices_are_thick(tmp_path):
    cases = [case(tmp_path, str(n), (20, 20, 20), (1, 1, thickness)) for n, thickness in enumerate((1, 1, 5))]
    assert make_plan(cases, settings()).slicing_axis != "largest-spacing"
    thick = case(tmp_path, "d", (20, 20, 20), (1, 1, 5))
    assert make_plan([*cases[1:], thick], settings()).slicing_axis == "largest-spacing"


@pytest.mark.parametrize("axis", range(3))
def test_of_sharp_planes_the_one_that_shows_the_structures_together_is_taken(tmp_path, axis):
    """Two boxes one behind the other along an array axis: slices across that axis show one of them only."""
    labels = np.zeros((24, 24, 24), np.uint8)
    for value in (1, 2):
        box = [slice(6, 18)] * 3
        box[axis] = slice(6 * value, 6 * value + 6)
        labels[tuple(box)] = value
    plan = make_plan([case(tmp_path, spacing=(1, 1, 1), labels=labels, shape=labels.shape)], settings())
    along = {"axial": 0, "coronal": 1, "sagittal": 2}[plan.slicing_axis]
    slices = np.moveaxis(labels, along, 0)
    assert {len(np.unique(s)) - 1 for s in slices if s.any()} == {2}
    assert along != axis


def test_what_is_asked_for_is_taken(tmp_path):
    own = NormalisationSettings(low=1, high=99)
    plan = make_plan([case(tmp_path, scan="CT")], settings(
        slicing_axis="coronal", spacing=0.8, patch=50, normalisation=own, modality="MR", slice_context=2,
        network=PLAIN))
    assert (plan.slicing_axis, plan.spacing, plan.patch, plan.normalisation, plan.modality) == (
        "coronal", 0.8, 50, own, "MR")
    assert plan.network == PLAIN.model_copy(update={"classes": 3, "in_channels": 5})


def test_spacings_are_medians_of_the_slices_pixels_and_distances(tmp_path):
    spacings = ((1.0, 1.4, 6.0), (1.5, 1.5, 8.0), (3.0, 3.0, 10.0))
    cases = [case(tmp_path, str(n), spacing=spacing) for n, spacing in enumerate(spacings)]
    plan = make_plan(cases, settings())
    assert plan.spacing == pytest.approx(1.5, abs=1e-5)
    assert plan.slice_spacing == pytest.approx(8.0, abs=1e-5)
    for oblong in (cases[0], case(tmp_path, "turned", spacing=(1.4, 1.0, 6.0))):  # no pixel is made finer
        assert make_plan([oblong], settings()).spacing == pytest.approx(1.4, abs=1e-5)
    assert make_plan(cases[:1], settings()).slice_spacing == pytest.approx(6.0, abs=1e-5)


@pytest.mark.parametrize(("shape", "spacing", "structure", "patch"), [
    ((3, 40, 33), None, 12, 48), ((3, 48, 48), None, 12, 48), ((3, 20, 100), 2.0, 12, 64),
    ((3, 300, 20), None, 12, 80), ((3, 300, 20), None, 90, 128), ((3, 300, 20), None, 290, 192),
    ((3, 20, 300), None, 18, 80), ((3, 300, 20), 2.0, 290, 160),
])
def test_the_patch_holds_a_slice_or_what_lies_around_the_structures(tmp_path, shape, spacing, structure, patch):
    labels = np.zeros(shape, np.uint8)
    labels[1, 2:2 + structure, 3:10] = 1
    assert make_plan([case(tmp_path, shape=shape, labels=labels)], settings(spacing=spacing)).patch == patch


def test_the_patch_does_not_depend_on_how_a_scan_is_stored(tmp_path):
    labels = np.zeros((3, 200, 200), np.uint8)
    labels[:, 20:130, 60:70] = 1
    patches = {make_plan([case(tmp_path, str(axes), tuple(np.array(labels.shape)[list(axes)]), spacing,
                               labels=labels.transpose(axes))], settings()).patch
               for axes, spacing in (((0, 1, 2), (1, 1, 8)), ((1, 0, 2), (1, 8, 1)), ((2, 1, 0), (8, 1, 1)))}
    assert patches == {160}


def test_a_few_large_slices_do_not_decide_the_patch(tmp_path):
    small = [case(tmp_path, str(n), (3, 20, 20)) for n in range(2)]
    large = case(tmp_path, "large", (3, 150, 20))
    assert make_plan([*small * 10, large], settings()).patch == 32


def test_classes_follow_the_largest_value_and_gaps_are_kept(tmp_path):
    cases = [case(tmp_path, "a", values=(1,)), case(tmp_path, "b", values=(7,))]
    plan = make_plan(cases, settings())
    assert plan.values == (1, 7)
    assert (plan.network.classes, plan.network.in_channels) == (8, 1)
    assert make_plan(cases, settings(slice_context=1)).network.in_channels == 3


@pytest.mark.parametrize(("spacing", "plane"), [
    ((4, 4, 2.5), "axial"), ((2.5, 4, 4), "sagittal"), ((4, 2.5, 4), "coronal"), ((4.7, 4.7, 3.0), "axial"),
    ((1, 1, 1.1), None), ((0.7, 0.7, 5), "largest-spacing"), ((1.4, 1.0, 6.0), "largest-spacing"),
    ((1, 2, 4.5), "largest-spacing"), ((1, 2.2, 2.4), "sagittal")])
def test_the_plane_in_which_a_scan_was_acquired(spacing, plane):
    """Slices that are closer to each other than their pixels are wide are no reason to slice in another plane."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    assert acquired_plane(affine) == plane
    turned = affine.copy()
    turned[:3, :3] = affine[:3, [1, 2, 0]]  # the file stores its axes in another order
    assert acquired_plane(turned) == plane


def test_most_scans_decide_on_the_plane():
    thin, thick = np.diag([4, 4, 2.5, 1.0]), np.diag([1, 1, 6, 1.0])
    assert usual_plane([thin, thin, thick]) == "axial"
    assert usual_plane([thin, thick, thick]) == "largest-spacing"
    assert usual_plane([np.eye(4), thick]) == "largest-spacing"


def test_of_nearly_equal_planes_the_axial_one_is_taken(tmp_path):
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:31, 10:20, 10:30], labels[10:30, 20:30, 10:30] = 1, 2  # apart in one axial slice
    assert make_plan([case(tmp_path, spacing=(1, 1, 1), labels=labels, shape=labels.shape)],
                     settings()).slicing_axis == "axial"


def test_structures_larger_than_the_largest_patch_get_coarser_pixels(tmp_path):
    """288 x 288 pixels do not go into 192: pixels twice as wide at most, and never too wide for a small structure."""
    labels = np.zeros((3, 300, 300), np.uint8)
    labels[:, 6:294, 6:294] = 1
    plan = make_plan([case(tmp_path, "a", labels.shape, labels=labels)], settings())
    assert (plan.spacing, plan.patch) == (2.0, 160)
    labels[:, 100:107, 100:107] = 2  # 7 pixels square, 7.9 mm as a circle: 1.3 mm at most
    plan = make_plan([case(tmp_path, "b", labels.shape, labels=labels)], settings())
    assert plan.spacing == pytest.approx(7 * np.sqrt(4 / np.pi) / 6)
    assert plan.patch == 192
    assert make_plan([case(tmp_path, "b", labels.shape, labels=labels)], settings(spacing=0.9)).spacing == 0.9


def test_how_wide_structures_are():
    """A cord is as wide as it is thick, whatever its length; a sheet as wide as its edge is."""
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[:, 10:14, 20:24] = 1
    found = measure(labels, np.diag([-2.0, -2.0, 3.0, 1.0]))
    assert found.widths == {1: pytest.approx(np.sqrt(4 * 64 / np.pi))}
    np.testing.assert_array_equal(found.box, [[19.5, 9.5, -0.5], [23.5, 13.5, 19.5]])
    labels[5, 20:22, 3] = 9
    assert set(measure(labels, np.eye(4)).widths) == {1, 9}
    assert measure(np.zeros((3, 4, 5), np.uint8), np.eye(4)).widths == {}


def test_a_ct_window_holds_what_is_labelled(tmp_path):
    """Lungs lie below the window of soft tissue, bone above it."""
    rng = np.random.default_rng(0)
    image = rng.integers(-50, 100, (8, 40, 40)).astype(np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[2:6, 5:15, 5:15], labels[2:6, 20:30, 20:30] = 1, 2
    image[labels == 1], image[labels == 2] = -850, 1400
    image[0, 0, 0] = -1000
    write_volume(tmp_path / "a.nii.gz", image, (1, 1, 5))
    write_volume(tmp_path / "a_gt.nii.gz", labels, (1, 1, 5))
    cases = [Case("a", "a", tmp_path / "a.nii.gz", tmp_path / "a_gt.nii.gz")]
    window = make_plan(cases, settings(modality="CT")).normalisation
    assert (window.kind, window.low, window.high) == ("window", -850, 1400)
    write_volume(tmp_path / "a_gt.nii.gz", np.where(image == 7, 1, 0).astype(np.uint8), (1, 1, 5))
    assert make_plan(cases, settings(modality="CT")).normalisation == WINDOW


@pytest.mark.parametrize(("scans", "given", "modality", "normalisation"), [
    (("CT", "CT"), "any", "CT", WINDOW), (("MR", "MR"), "any", "MR", NormalisationSettings()),
    (("CT", "MR"), "any", "any", NormalisationSettings()), (("MR", "MR"), "CT", "CT", WINDOW),
    (("CT", "CT"), "MR", "MR", NormalisationSettings()),
])
def test_ct_has_a_fixed_window_and_everything_else_percentiles(tmp_path, scans, given, modality, normalisation):
    cases = [case(tmp_path, str(n), scan=scan) for n, scan in enumerate(scans)]
    plan = make_plan(cases, settings(modality=given))
    assert plan.modality == modality
    assert plan.normalisation.kind == normalisation.kind
    if normalisation.kind == "window":  # at least this, and what is labelled
        assert plan.normalisation.low <= normalisation.low
        assert plan.normalisation.high >= normalisation.high


def test_label_maps_without_a_structure_are_refused_as_a_message(tmp_path):
    with pytest.raises(InputError, match=r"scans: no label map holds any structure \(all voxels are 0\)"):
        make_plan([case(tmp_path, values=())], settings())
    plan = make_plan([case(tmp_path, values=()), case(tmp_path, "b", values=(2,))], settings())
    assert plan.values == (2,)


def test_a_plan_is_reported_and_can_be_written_down(tmp_path):
    reported = []
    plan = make_plan([case(tmp_path, scan="CT")], settings(), reported.append)
    assert reported[-1] == Progress("looking at the labelled cases", 1, 1, 0.0)
    written = json.loads(json.dumps(plan.to_dict()))
    assert NormalisationSettings(**written["normalisation"]) == plan.normalisation
    assert NetworkSettings(**written["network"]) == plan.network
    assert (written["spacing"], written["values"]) == (plan.spacing, [1, 2])
