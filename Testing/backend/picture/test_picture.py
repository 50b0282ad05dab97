"""Pictures for people: colours, outlines, maps and words lie where they belong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume
from kaf.phantom.heart import cardiac_phantom
from kaf.picture.overview import encode_png, overview, slice_picture
from kaf.picture.sheet import Page, plain, shortened, width_of
from kaf.runtime.errors import InputError, OutputError

RED, GREEN = Label(1, "Left ventricle", (255, 60, 40)), Label(2, "Myocardium", (40, 220, 80))
LABELS = (RED, GREEN)


def volume(voxels: np.ndarray, spacing=(1.0, 1.0, 5.0), source: str = "") -> Volume:
    """A plain stack with columns to L, rows to P, slices to S."""
    return Volume(voxels, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), source)


def near(pixels: np.ndarray, colour: tuple[int, int, int], tolerance: int = 40) -> np.ndarray:
    return (np.abs(pixels.astype(int) - np.array(colour)) <= tolerance).all(axis=-1)


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


@pytest.fixture
def square():
    """A grey slice with a bright corner, and a label on rows 10..29, columns 16..39."""
    scan, labels = np.full((3, 48, 64), 100, np.int16), np.zeros((3, 48, 64), np.uint8)
    scan[:, :4, :4] = 200
    labels[1, 10:30, 16:40] = 1
    return scan, labels


@pytest.fixture
def words(monkeypatch):
    """What is written on the page."""
    written: list[str] = []
    text = Page.text

    def listen(self, x, middle, letters, *rest, **named):
        written.append(letters)
        text(self, x, middle, letters, *rest, **named)

    monkeypatch.setattr(Page, "text", listen)
    return written


# encode_png


@pytest.mark.parametrize("shape", [(7, 9, 3), (7, 9)])
def test_a_png_holds_exactly_the_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    back = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(back[..., ::-1] if len(shape) == 3 else back, pixels)


# slice_picture


def test_the_outline_runs_along_the_inner_edge_of_the_label(square):
    scan, labels = square
    pixels = slice_picture(scan, labels, LABELS, 1, scale=6)
    assert pixels.shape == (288, 384, 3)
    assert pixels.dtype == np.uint8
    top, bottom, left, right = box(near(pixels, RED.colour))
    for found, expected in zip((top, bottom, left, right), (60, 180, 96, 240), strict=True):
        assert abs(found - expected) <= 2
    bare = slice_picture(scan, np.zeros_like(labels), LABELS, 1, scale=6)
    assert np.array_equal(pixels[90:150, 126:210], bare[90:150, 126:210]), "the inside is painted over"
    assert np.array_equal(pixels[200:], bare[200:])


def test_only_labels_of_the_card_are_drawn(square):
    scan, labels = square
    bare = slice_picture(scan, np.zeros_like(labels), LABELS, 1)
    assert np.array_equal(slice_picture(scan, labels, (GREEN,), 1), bare)
    assert np.array_equal(slice_picture(scan, labels, LABELS, 0), bare)


def test_neighbours_keep_their_outlines_beside_each_other(square):
    scan, labels = square
    labels[1, 10:30, 28:40] = 2
    pixels = slice_picture(scan, labels, LABELS, 1, scale=6)[100:140]
    red, green = near(pixels, RED.colour), near(pixels, GREEN.colour)
    edge = 28 * 6
    assert red[:, edge - 8:edge].any(axis=1).all()
    assert green[:, edge:edge + 8].any(axis=1).all()
    assert not red[:, edge + 2:].any()
    assert not green[:, :edge - 2].any()


def test_a_single_pixel_is_not_lost(square):
    scan, labels = square
    labels[1, 40, 50] = 2
    pixels = slice_picture(scan, labels, LABELS, 1, scale=6)
    top, bottom, left, right = box(near(pixels, GREEN.colour, 60))
    assert (top // 6, bottom // 6 - 1, left // 6, right // 6 - 1) == (40, 40, 50, 50)


def test_the_reference_is_dashed_white_on_its_edge(square):
    scan, labels = square
    empty = np.zeros_like(labels)
    bare = slice_picture(scan, empty, LABELS, 1, scale=6)
    pixels = slice_picture(scan, empty, LABELS, 1, labels, scale=6)
    changed = (pixels != bare).any(axis=-1)
    top, bottom, left, right = box(changed)
    for found, expected in zip((top, bottom, left, right), (60, 180, 96, 240), strict=True):
        assert abs(found - expected) <= 3
    assert (pixels.min(axis=-1) == pixels.max(axis=-1)).all(), "a colour where white was meant"
    upper = changed[top:top + 6, left + 20:right - 20].any(axis=0)
    assert 0.35 < upper.mean() < 0.75
    assert np.abs(np.diff(upper.astype(int))).sum() >= 8, "not dashed"


def test_a_reference_edge_that_two_labels_share_stays_dashed(square):
    scan, truth = square
    truth[1, 10:30, 28:40] = 2
    empty = np.zeros_like(truth)
    bare = slice_picture(scan, empty, LABELS, 1, scale=6)
    pixels = slice_picture(scan, empty, LABELS, 1, truth, scale=6)
    shared = (pixels != bare).any(axis=-1)[80:160, 28 * 6 - 8:28 * 6 + 8].any(axis=1)
    assert 0.3 < shared.mean() < 0.8


def test_grey_values_are_stretched_between_the_extremes_of_the_volume():
    scan = np.tile(np.linspace(-500, 1500, 100, dtype=np.float32), (2, 40, 1))
    pixels = slice_picture(scan, np.zeros(scan.shape, np.uint8), (), 0, scale=1)
    assert pixels[:, :1].max() == 0
    assert pixels[:, -1:].min() == 255
    assert (np.diff(pixels[0, :, 0].astype(int)) >= 0).all()


# overview


def test_overview_of_a_phantom_is_written_as_it_is_returned(tmp_path, words):
    image, truth = cardiac_phantom(1, slices=6, size=88, spacing=3.0)
    card = (Label(1, "Right ventricle", (80, 150, 255)), *(Label(v + 1, label.name, label.colour)
                                                             for v, label in enumerate(LABELS, 1)))
    attention = Volume((truth.voxels == 2).astype(np.float32), truth.affine)
    path = tmp_path / "sheet.png"
    sheet = overview(image, truth, card, attention, truth=truth, path=path, slices=3, title="Case 1")
    back = cv2.imread(str(path))[..., ::-1]
    assert np.array_equal(back, sheet)
    for label in card:
        assert near(sheet, label.colour).sum() > 300, label.name
    assert {"Case 1", "Structures", "reference"} <= set(words)
    assert {"Attention", "low", "high"} <= set(words)
    assert [word for word in words if word.startswith("slice ")] == [f"slice {k} of 6" for k in (2, 4, 6)]
    again = overview(image, truth, card, path=path)
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], again), "an existing picture is replaced"


def test_volumes_are_listed_in_millilitres(words):
    labels = np.zeros((2, 50, 50), np.uint8)
    labels[0, :25, :40] = 1  # 1000 voxels of 1.5 x 2 x 5 mm
    truth = labels.copy()
    truth[1, :25, :40] = 1
    labels[1, 0, :3] = 2
    scan = volume(np.zeros((2, 50, 50), np.int16), (1.5, 2.0, 5.0))
    overview(scan, volume(labels, scan.spacing), LABELS)
    assert {"15.0 mL", "0.04 mL", "50 × 50 × 2 voxels of 1.5 × 2 × 5 mm"} <= set(words)
    overview(scan, volume(labels, scan.spacing), LABELS, truth=volume(truth, scan.spacing))
    assert "15.0 mL (reference 30.0 mL)" in words


def test_slices_carry_their_number_in_the_file_and_their_place(words):
    voxels, labels = np.zeros((5, 40, 40), np.int16), np.zeros((5, 40, 40), np.uint8)
    labels[1, 10:20, 10:20] = 1
    up = np.diag([-1.0, -1.0, 6.0, 1.0])
    up[2, 3] = -20.0
    overview(Volume(voxels, up), Volume(labels, up), LABELS)
    assert {"slice 2 of 5", "I 14.0 mm"} <= set(words)
    words.clear()
    down = up.copy()
    down[2] = [0, 0, -6.0, 4.0]  # the same slices stored from the top
    overview(Volume(voxels[::-1], down), Volume(labels[::-1], down), LABELS)
    assert {"slice 4 of 5", "I 14.0 mm"} <= set(words)


def test_the_way_a_file_stores_its_axes_does_not_show(tmp_path):
    image, truth = cardiac_phantom(2, slices=5, size=72, spacing=3.5)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = 71
    turned = [Volume(v.voxels[:, ::-1, ::-1], v.affine @ flip) for v in (image, truth)]
    swap = np.eye(4)[[1, 0, 2, 3]]
    swapped = [Volume(v.voxels.transpose(0, 2, 1), v.affine @ swap) for v in (image, truth)]
    expected = overview(image, truth, LABELS)
    for scan, labels in (turned, swapped):
        assert np.array_equal(overview(scan, labels, LABELS), expected)


def test_shapes_keep_their_proportions_where_pixels_are_not_square():
    rows, columns = np.mgrid[:120, :60]
    disc = ((rows - 60) ** 2 + (2 * columns - 60) ** 2 < 30**2).astype(np.uint8)[None]
    scan = volume(np.zeros(disc.shape, np.int16), (2.0, 1.0, 5.0))
    legend = overview(scan, volume(np.zeros_like(disc), (2.0, 1.0, 5.0)), LABELS)
    sheet = overview(scan, volume(disc, (2.0, 1.0, 5.0)), LABELS)
    top, bottom, left, right = box(near(sheet, RED.colour) & (np.arange(len(sheet))[:, None] > 120))
    assert bottom - top == pytest.approx(right - left, rel=0.03)
    assert sheet.shape[1] == legend.shape[1]


def test_attention_shows_where_it_is_and_only_in_its_row():
    image, truth = cardiac_phantom(1, slices=1, size=80, spacing=3.0)
    nothing, somewhere = np.zeros((2, *truth.shape), np.float32)
    row, column = (int(np.median(axis)) for axis in np.nonzero(truth.voxels[0] == 3))
    somewhere[0, row, column] = 0.01
    plain_sheet = overview(image, truth, LABELS, Volume(nothing, image.affine))
    sheet = overview(image, truth, LABELS, Volume(somewhere, image.affine))
    changed = (sheet != plain_sheet).any(axis=-1)
    top, bottom, left, right = box(changed)
    assert bottom - top < 40
    assert right - left < 40
    assert top > len(sheet) // 2
    brightest = sheet[(top + bottom) // 2, (left + right) // 2].astype(int)
    assert brightest[0] > 200 > brightest[2], "the peak is not the hot end of the table"
    large = Volume(1e6 * somewhere, image.affine)
    assert np.array_equal(overview(image, truth, LABELS, large), sheet), "the scale of the map shows"


def test_uncertainty_gets_a_row_of_its_own(words):
    image, truth = cardiac_phantom(1, slices=2, size=64, spacing=4.0)
    unsure = Volume((truth.voxels == 2).astype(np.float32), truth.affine)
    one, two = overview(image, truth, LABELS), overview(image, truth, LABELS, uncertainty=unsure)
    three = overview(image, truth, LABELS, unsure, uncertainty=unsure)
    assert "Uncertainty" in words
    assert two.shape[0] - one.shape[0] == three.shape[0] - two.shape[0] > 200


@pytest.mark.parametrize("wanted", [1, 3, 9])
def test_slices_are_those_with_structures(words, wanted):
    labels = np.zeros((12, 32, 32), np.uint8)
    labels[4:9, 8:20, 8:20] = 1
    overview(volume(np.zeros(labels.shape, np.int16)), volume(labels), LABELS, slices=wanted)
    numbers = [int(word.split()[1]) for word in words if word.startswith("slice ")]
    assert len(numbers) == min(wanted, 5)
    assert all(5 <= number <= 9 for number in numbers)
    assert sum(numbers) / len(numbers) == 7, "not spread evenly"


def test_an_empty_result_still_gives_a_picture(words):
    scan = volume(np.full((3, 20, 30), 7, np.int16))
    nothing = volume(np.zeros((3, 20, 30), np.uint8))
    broken = volume(np.full((3, 20, 30), np.nan, np.float32))
    assert overview(scan, nothing, (), broken, title="Nothing").ndim == 3
    assert [word for word in words if word.startswith("slice ")] == [f"slice {k} of 3" for k in (1, 2, 3)]


def test_a_map_of_another_shape_is_refused_by_name():
    scan, labels = volume(np.zeros((3, 20, 30), np.int16)), volume(np.zeros((3, 20, 30), np.uint8))
    odd = volume(np.zeros((3, 20, 31), np.float32), source="attention.nrrd")
    with pytest.raises(InputError, match=r"attention\.nrrd"):
        overview(scan, labels, LABELS, odd)


def test_a_folder_that_is_not_there_is_an_error_as_a_message(tmp_path):
    scan, labels = volume(np.zeros((1, 20, 30), np.int16)), volume(np.zeros((1, 20, 30), np.uint8))
    with pytest.raises(OutputError, match="does not exist"):
        overview(scan, labels, LABELS, path=tmp_path / "missing" / "sheet.png")


# words


def test_words_use_letters_that_the_font_has():
    assert plain("Früh × 3 – Épicarde · straße") == "Fruh x 3 - Epicarde · strasse"
    assert plain("心 heart\n") == "? heart?"


def test_long_words_are_cut_to_their_room():
    assert shortened("short", 20, 500) == "short"
    cut = shortened("a rather long name of a case", 20, 120)
    assert cut.endswith("…")
    assert 80 < width_of(cut, 20) <= 120


def test_a_long_legend_wraps_inside_the_page(words):
    labels = tuple(Label(v, f"A structure with a long name {v}", (200, 80, 80 + v)) for v in range(1, 13))
    scan = volume(np.zeros((1, 20, 20), np.int16))
    few, many = (overview(scan, volume(np.zeros((1, 20, 20), np.uint8)), labels[:n]) for n in (1, 12))
    assert many.shape[1] == few.shape[1]
    assert many.shape[0] > few.shape[0] + 100
    assert {label.name for label in labels} <= set(words)
