"""What a network under pretraining sees: matched keypoints, regions, clusters, slices drawn again.

The same few slices are drawn every time, so that the sheets of a run can be compared.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from kaf.data.views import UnlabelledSlices, View, hide_squares
from kaf.methods.base import MethodInput, fp32
from kaf.methods.bim import Bim
from kaf.methods.kaf import Kaf
from kaf.methods.lrc import Lrc
from kaf.methods.mae import Mae
from kaf.network import Features
from kaf.picture.draw import grey, window
from kaf.picture.overview import encode_png
from kaf.picture.sheet import BACKGROUND, BRIGHT, QUIET, Colour, Page, rounded_corners
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.events import OnEvent, Picture
from kaf.runtime.files import atomic_write
from kaf.settings.pretrain import MaeSettings
from kaf.training.pretraining import Pretrainer

FOUND, MISSED, ALONE = (98, 216, 180), (246, 158, 92), (150, 160, 175)
_DRAWN_FROM = 2 ** 31  # a step that no run reaches
_LOOKED_AT, _COLUMNS, _PAIRS, _LINES = 8, 4, 2, 16
_TILE, _WIDE, _GAP, _MARGIN, _HEADING = 260, 430, 14, 30, 46


@dataclass
class Sheet:
    """Rows of pictures under a title: heading and tiles of equal size per row; legend: colour, name, value."""

    name: str
    title: str
    rows: list[tuple[str, list[np.ndarray]]]
    legend: list[tuple[Colour | None, str, str]]

    def render(self, words: str) -> np.ndarray:
        """The sheet (height, width, 3) uint8 with ``words`` under its title."""
        widest = max(sum(tile.shape[1] + _GAP for tile in tiles) - _GAP for _, tiles in self.rows)
        page = Page(2 * _MARGIN + widest, _MARGIN)
        page.text(_MARGIN, _MARGIN + 12, self.title, 26)
        page.text(_MARGIN, _MARGIN + 46, words, 15, QUIET)
        y = _MARGIN + 62
        if self.legend:
            y += 6 + page.entries(y + 6, self.legend, 15)
        for heading, tiles in self.rows:
            if heading:
                page.text(_MARGIN, y + _HEADING - 17, heading, 18, BRIGHT)
            y += _HEADING if heading else _GAP
            for column, tile in enumerate(tiles):
                page.picture(_MARGIN + column * (tile.shape[1] + _GAP), y, tile)
            y += tiles[0].shape[0]
        return page.render(y + _MARGIN)


class Pictures:
    """Draws a sheet per method that has something to show, into ``folder``."""

    def __init__(self, slices: UnlabelledSlices, mae: MaeSettings, place: DeviceChoice, folder: Path, send: OnEvent):
        self._mae, self._place, self._folder, self._send = mae, place, folder, send
        self._batch = slices.batch(_DRAWN_FROM, _LOOKED_AT)

    @torch.no_grad()
    def draw(self, network: Pretrainer, step: int) -> list[Path]:
        """One PNG file and one Picture event per sheet, of the network as it is after ``step`` steps."""
        scene = self._scene(network)
        sheets = []
        for method in network.methods.values():
            if isinstance(method, Kaf):
                sheets.append(matched(method, scene))
            elif isinstance(method, Lrc):
                sheets.append(regions(scene))
            elif isinstance(method, Bim):
                sheets.append(clusters(method, scene))
            elif isinstance(method, Mae):
                sheets.append(drawn_again(method, scene))
        written = []
        if sheets:
            self._folder.mkdir(exist_ok=True)
        for sheet in sheets:
            path = self._folder / f"{sheet.name}-{step:08d}.png"
            atomic_write(path, encode_png(sheet.render(f"after {step} steps")), overwrite=True)
            self._send(Picture(sheet.title, str(path)))
            written.append(path)
        return written

    def _scene(self, network: Pretrainer) -> MethodInput:
        views = self._batch.views
        if "masked" in network.names:
            views["masked"] = hide_squares(views["anchor"], self._mae.hidden, self._mae.block, self._batch.seeds)
        batch = self._batch.to(self._place.device)
        with self._place.autocast():
            features = network.eval().look(batch, network.names, network.depth)
        return MethodInput(batch, {name: _widened(found) for name, found in features.items()}, 1.0)


def _widened(features: Features) -> Features:
    """In fp32, so that all that follows needs no autocast."""
    return replace(features, logits=fp32(features.logits), bottleneck=fp32(features.bottleneck),
                   tokens=[fp32(t) for t in features.tokens], decoder=[fp32(d) for d in features.decoder],
                   encoder=[fp32(e) for e in features.encoder])


def _middle(view: View) -> np.ndarray:
    """(B, H, W) the views' own slices, without their neighbours; outside of them the darkest that is inside."""
    image = view.image[:, view.image.shape[1] // 2].float()
    darkest = image.masked_fill(~view.valid, torch.inf).amin((1, 2), keepdim=True)
    return torch.where(view.valid | darkest.isinf(), image, darkest).cpu().numpy()


def _size(image: np.ndarray, longest: int) -> tuple[int, int]:
    rows, columns = image.shape[-2:]
    return max(1, round(longest * rows / max(rows, columns))), max(1, round(longest * columns / max(rows, columns)))


def _best(score: np.ndarray, count: int) -> list[int]:
    """The items of the largest score, in their order."""
    return sorted(np.argsort(-score, kind="stable")[:count].tolist())


def _full(scene: MethodInput, count: int = _COLUMNS) -> list[int]:
    """The items that show the most of their slice and lie in the middle of their volume."""
    view = scene.batch.views["anchor"]
    middle = 1 - np.abs(scene.batch.position.cpu().numpy() - 0.55)
    return _best(view.valid.float().mean((1, 2)).cpu().numpy() + middle, count)


def matched(method: Kaf, scene: MethodInput) -> Sheet:
    """Pairs of neighbouring slices; lines join keypoints that match, in colour by whether the network finds it."""
    log_p = method.transport(scene)
    first, second = (scene.batch.views[name] for name in ("anchor", "neighbour"))
    there = torch.cat([second.mask, second.mask.new_ones(len(log_p), 1)], 1)
    guess = log_p[:, :-1].masked_fill(~there[:, None], -torch.inf).argmax(2).cpu().numpy()
    matches = np.where(first.mask.cpu().numpy(), scene.batch.matches.cpu().numpy(), -1)
    images = [_middle(view) for view in (first, second)]
    size = _size(images[0], _WIDE)
    found = int(((guess == matches) & (matches >= 0)).sum())
    total, rows = int((matches >= 0).sum()), []
    for item in _best((matches >= 0).sum(1), _PAIRS):
        points = [view.keypoints[item].cpu().numpy() for view in (first, second)]
        masks = [view.mask[item].cpu().numpy() for view in (first, second)]
        tiles = [grey(image[item], size, window(image[item])) for image in images]
        rows.append(("", [_joined(tiles, points, masks, matches[item], guess[item], images[0].shape[1:])]))
    legend: list[tuple[Colour | None, str, str]] = [
        (FOUND, "found by the network", f"{found} of {total} in {len(matches)} pairs"), (MISSED, "missed", ""),
        (ALONE, "keypoint without a match", "")]
    return Sheet("matches", "Keypoints that match between neighbouring slices", rows, legend)


def _joined(tiles: list[np.ndarray], points: list[np.ndarray], masks: list[np.ndarray], matches: np.ndarray,
            guess: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Two slices beside each other with the lines between them."""
    height, width = tiles[0].shape[:2]
    sheet = np.zeros((height, 2 * width + _GAP, 3), np.uint8)
    sheet[:] = BACKGROUND
    sheet[:, :width], sheet[:, width + _GAP:] = (rounded_corners(tile) for tile in tiles)
    scale = height / shape[0]
    where = [(p + 0.5) * scale + [0, offset] for p, offset in zip(points, (0, width + _GAP), strict=True)]
    pairs = np.flatnonzero(matches >= 0)
    for places, mask, paired in zip(where, masks, (pairs, matches[pairs]), strict=True):
        for index in set(np.flatnonzero(mask)) - set(paired):
            _dot(sheet, places[index], ALONE, 1.6)
    step = max(1, -(-len(pairs) // _LINES))  # all keypoints are drawn, and some of the lines
    for turn, index in enumerate(pairs):
        colour = FOUND if guess[index] == matches[index] else MISSED
        a, b = where[0][index], where[1][matches[index]]
        if turn % step == 0:
            over = sheet.copy()
            cv2.line(over, _at(a), _at(b), colour, 2, cv2.LINE_AA, 4)
            cv2.addWeighted(over, 0.75, sheet, 0.25, 0, dst=sheet)
        for place in (a, b):
            _dot(sheet, place, colour, 4.0 if turn % step == 0 else 2.8)
    return sheet


def _at(place: np.ndarray) -> tuple[int, int]:
    """(row, column) as OpenCV's (x, y) in sixteenths of a pixel."""
    return round(float(place[1]) * 16), round(float(place[0]) * 16)


def _dot(sheet: np.ndarray, place: np.ndarray, colour: Colour, radius: float) -> None:
    cv2.circle(sheet, _at(place), round((radius + 1.2) * 16), BACKGROUND, -1, cv2.LINE_AA, 4)
    cv2.circle(sheet, _at(place), round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def palette(count: int) -> np.ndarray:
    """(count, 3) uint8 colours that are easy to tell apart on a dark sheet."""
    turns = [(0.55 + index * 0.618034) % 1 for index in range(count)]
    bright = [(0.95, 0.72, 0.84)[index % 3] for index in range(count)]
    pale = [(0.62, 0.70, 0.42)[index % 3] for index in range(count)]
    return np.array([[round(255 * c) for c in colorsys.hsv_to_rgb(*hsv)]
                     for hsv in zip(turns, pale, bright, strict=True)], np.uint8)


def clusters(method: Bim, scene: MethodInput) -> Sheet:
    """Slices above their clusters: a colour each, darker where the network is unsure."""
    view = scene.batch.views["anchor"]
    posterior = method.posteriors(scene.features["anchor"].decoder)[0]
    stride = 2 ** method.settings.level
    sure, cluster = (t.repeat_interleave(stride, 1).repeat_interleave(stride, 2) for t in posterior.max(1))
    image, valid = _middle(view), view.valid.cpu().numpy()
    height, width = image.shape[1:]
    sure_, cluster_ = sure[:, :height, :width].cpu().numpy(), cluster[:, :height, :width].cpu().numpy()
    colours, size, chosen = palette(method.settings.clusters), _size(image, _TILE), _full(scene)
    light = np.sqrt(np.clip((sure_ - 1 / len(colours)) / (1 - 1 / len(colours)), 0, 1))
    pictures = colours[cluster_] * (valid * (0.35 + 0.65 * light))[..., None]
    tiles = [cv2.resize(np.rint(pictures[item]).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
             for item in chosen]
    used = len(np.unique(cluster_[valid]))
    heading = f"{used} of {len(colours)} clusters are the likeliest somewhere; darker where unsure"
    rows = [("Slices", _slices(image, chosen, size)), (heading, tiles)]
    return Sheet("clusters", "Clusters: what belongs together", rows, [])


def _slices(image: np.ndarray, chosen: list[int], size: tuple[int, int]) -> list[np.ndarray]:
    return [grey(image[item], size, window(image[item])) for item in chosen]


def drawn_again(method: Mae, scene: MethodInput) -> Sheet:
    """Slices, what the network was shown of them, and the hidden squares as it draws them."""
    view, masked = scene.batch.views["anchor"], scene.batch.views["masked"]
    assert masked.hidden is not None
    image, hidden = _middle(view), masked.hidden.cpu().numpy()
    height, width = image.shape[1:]
    made = method.head(scene.features["masked"].decoder[-1])[:, view.image.shape[1] // 2]
    drawn = np.where(hidden, made[:, :height, :width].cpu().numpy(), image)
    chosen, size = _full(scene), _size(image, _TILE)
    levels = {item: window(image[item]) for item in chosen}
    shown = []
    for item in chosen:
        cover = cv2.resize(hidden[item].astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)[..., None] > 0
        shown.append(np.where(cover, np.uint8(38), grey(image[item], size, levels[item])).astype(np.uint8))
    error = np.sqrt(np.mean((drawn - image)[hidden & view.valid.cpu().numpy()] ** 2))
    rows = [("Slices", [grey(image[item], size, levels[item]) for item in chosen]),
            ("What the network was shown", shown),
            (f"Drawn again: {error:.2f} standard deviations off in the hidden squares",
             [grey(drawn[item], size, levels[item]) for item in chosen])]
    return Sheet("drawn", "Hidden squares drawn again", rows, [])


def regions(scene: MethodInput) -> Sheet:
    """Two views of each slice; a region has the same colour in both, and is where a pixel's likes are sought."""
    rows = []
    chosen = _full(scene)
    for heading, name in (("One view", "anchor"), ("Another view: the same region has the same colour", "again")):
        view = scene.batch.views[name]
        assert view.regions is not None
        image, ids = _middle(view), torch.where(view.valid, view.regions, -1).cpu().numpy()
        size = _size(image, _TILE)
        rows.append((heading, [_tinted(grey(image[item], size, window(image[item])), ids[item]) for item in chosen]))
    return Sheet("regions", "Regions whose pixels are to be alike", rows, [])


def _tinted(pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The slice under the colours of its regions, with thin dark lines between them."""
    colours = palette(97)  # a prime: neighbours by number are far apart in colour
    size = (pixels.shape[1], pixels.shape[0])
    large = cv2.resize(ids.astype(np.int32).astype(np.float32), size, interpolation=cv2.INTER_NEAREST).astype(int)
    tint = colours[large * 31 % len(colours)].astype(np.float32)
    mixed = np.where((large >= 0)[..., None], pixels * 0.55 + tint * 0.45, pixels * 0.8)
    edge = np.zeros(large.shape, bool)
    edge[:, 1:] |= large[:, 1:] != large[:, :-1]
    edge[1:] |= large[1:] != large[:-1]
    mixed[edge] *= 0.45
    return np.rint(mixed).astype(np.uint8)
