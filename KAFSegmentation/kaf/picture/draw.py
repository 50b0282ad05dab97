"""How a slice is drawn: grey values, outlines, heat maps.  Pictures are RGB uint8 (height, width, 3)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kaf.imaging.labels import Label

_FINE = 4  # outlines are drawn this many times larger and averaged down
_SMOOTH = 0.7  # sigma in source pixels that takes the stairs off an outline
_TABLES = {"looked": cv2.COLORMAP_INFERNO, "unsure": cv2.COLORMAP_VIRIDIS}


def window(scan: np.ndarray) -> tuple[float, float]:
    """The values shown black and white: all but the extreme 0.5 % on either side lie between."""
    low, high = np.percentile(scan, (0.5, 99.5))
    return float(low), float(high if high > low else low + 1)


def grey(scan: np.ndarray, size: tuple[int, int], levels: tuple[float, float]) -> np.ndarray:
    """A slice (rows, columns) as a picture (height, width, 3) between the levels of black and white."""
    low, high = levels
    values = _resized(np.clip((scan.astype(np.float32) - low) / (high - low), 0, 1), size)
    return np.repeat(np.rint(values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Float (rows, columns) in 0..1 at (height, width), smooth."""
    shrinks = size[0] < values.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(np.ascontiguousarray(values, np.float32), size[::-1], interpolation=how), 0, 1)


def outlined(
    pixels: np.ndarray, labels: np.ndarray, card_labels: Sequence[Label], truth: np.ndarray | None = None
) -> np.ndarray:
    """The picture with each label's outline along its inner edge, so that neighbours stay beside each other.

    ``labels`` and ``truth`` (rows, columns) cover the same field as the picture, at any resolution.
    """
    rows, columns = pixels.shape[:2]
    line = max(1.6, (rows * columns) ** 0.5 / 190)  # pixels
    result, layers = pixels.astype(np.float32), []
    for label in card_labels:
        inside, contours = _contours(labels == label.value, (rows, columns))
        if contours:
            drawn = cv2.polylines(np.zeros_like(inside), contours, True, 255, round(2 * line * _FINE))
            layers.append((_averaged(drawn & inside, pixels.shape), label.colour))
    for alpha, _ in layers:  # a soft dark edge keeps colours legible on bright tissue
        result *= 1 - 0.45 * np.clip(2 * cv2.GaussianBlur(alpha, (0, 0), line), 0, 1)[..., None]
    for alpha, colour in layers:
        result += alpha[..., None] * (np.array(colour, np.float32) - result)
    if truth is not None:
        dashes = _dashed([truth == label.value for label in card_labels], (rows, columns), line * _FINE)
        result += _averaged(dashes, pixels.shape)[..., None] * (255 - result)
    return np.rint(result).astype(np.uint8)


def _contours(mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The mask at the fine resolution (0 or 255, without pixel stairs) and its outlines there (n, 1, 2)."""
    if not mask.any():
        return np.zeros((0, 0), np.uint8), []
    height, width = size[0] * _FINE, size[1] * _FINE
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _SMOOTH)
    large = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = np.where(large > 0.5, 255, 0).astype(np.uint8)
    # What is too small to survive smoothing is drawn as the pixels it is.
    survives = cv2.dilate(np.where(smooth > 0.5, 1, 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    lost = np.where(mask & (survives == 0), 255, 0).astype(np.uint8)
    if lost.any():
        fine = np.maximum(fine, cv2.resize(lost, (width, height), interpolation=cv2.INTER_NEAREST))
    contours, _ = cv2.findContours(fine, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return fine, list(contours)


def _dashed(masks: list[np.ndarray], size: tuple[int, int], line: float) -> np.ndarray:
    """Dashes along the outlines of the masks at the fine resolution; an edge that two share is drawn once."""
    dashes = np.zeros((size[0] * _FINE, size[1] * _FINE), np.uint8)
    seen = np.zeros_like(dashes)
    for mask in masks:
        contours = _contours(mask, size)[1]
        for contour in contours:
            points = np.concatenate([contour[:, 0], contour[:1, 0]])
            steps = np.hypot(*np.diff(points, axis=0).T)
            travelled = np.concatenate([[0], np.cumsum(steps)])
            count = max(2, round(travelled[-1] / (10 * line)))
            on = travelled * count / max(travelled[-1], 1) % 1 < 0.5
            on &= seen[points[:, 1], points[:, 0]] == 0
            for run in np.split(points, np.flatnonzero(np.diff(on)) + 1)[0 if on[0] else 1::2]:
                cv2.polylines(dashes, [run], False, 255, max(1, round(0.6 * line)))
        cv2.polylines(seen, contours, True, 255, max(1, round(3 * line)))
    return dashes


def _averaged(fine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Share 0..1 of each screen pixel that is covered at the fine resolution."""
    return cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def stretched(values: np.ndarray) -> np.ndarray:
    """A map of non-negative values as 0..1; 1 is what 0.1 % of the voxels that are not 0 exceed."""
    values = np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0), 0)
    top = float(np.percentile(values[values > 0], 99.9)) if (values > 0).any() else 1.0
    return np.minimum(values / top, 1)


def heated(pixels: np.ndarray, values: np.ndarray, table: str) -> np.ndarray:
    """The picture under a heat map of values 0..1: nothing over 0, nearly opaque at 1."""
    values = _resized(values, (pixels.shape[0], pixels.shape[1]))
    colours = cv2.applyColorMap(np.rint(55 + 200 * values).astype(np.uint8), _TABLES[table])[..., ::-1]
    alpha = 0.88 * values[..., None] ** 0.6
    return np.rint(pixels * (1 - alpha) + colours * alpha).astype(np.uint8)


def ramp(table: str) -> np.ndarray:
    """The colours from 0 to 1 as they look over dark tissue."""
    values = np.tile(np.linspace(0, 1, 150, dtype=np.float32), (12, 1))
    return heated(np.full((12, 150, 3), 60, np.uint8), values, table)
