"""Explanation: where the network looked, as keypoint weights and as a map on the grid of the scan."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kaf.imaging.grid import Grid
from kaf.imaging.keypoints import Keypoints
from kaf.imaging.volume import Volume, scan_of
from kaf.inference.attention_maps import combine, keypoint_weights, scaled, spot_map
from kaf.inference.loaded_model import LoadedModel, load_for_inference
from kaf.modelfile.card import Card
from kaf.modelfile.suitability import doubts
from kaf.runtime.errors import InputError, SettingsError
from kaf.runtime.events import Message, OnEvent, Ticker, ignore
from kaf.runtime.files import atomic_write
from kaf.settings.explain import ExplainSettings

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Explanation:
    """Keypoints of the explained slices and what they weigh.

    positions: (N, 3) RAS mm; slices: (N,) canonical slice of each; weights: (N,) share of the attention of
    their slice, summing to one per slice; chosen: index of the keypoint that was asked about, or None;
    explained: the canonical slices; maps: (len(explained), H, W) float32, 0 (not looked at) to 1 (most).
    """

    positions: np.ndarray
    slices: np.ndarray
    weights: np.ndarray
    chosen: int | None
    explained: tuple[int, ...]
    maps: np.ndarray
    grid: Grid
    card: Card
    warnings: tuple[str, ...] = ()

    @property
    def attention(self) -> Volume:
        """The maps on the grid of the scan; 0 in slices that were not explained."""
        whole = np.zeros(self.grid.canonical_shape, np.float32)
        whole[list(self.explained)] = self.maps
        return Volume(self.grid.map_to_input(whole), self.grid.affine)

    def sheet(self, index: int = 0) -> Volume:
        """One explained slice at the model's resolution, as a volume of one slice where it lies."""
        affine = self.grid.canonical_affine.copy()
        affine[:3, 3] += self.explained[index] * affine[:3, 2]
        return Volume(self.maps[index:index + 1], affine)

    def markups(self, top: int = 50) -> dict[str, Any]:
        """The ``top`` heaviest keypoints as Slicer markups (locked points, LPS, weight in the description)."""
        order = np.argsort(-self.weights, kind="stable")[:top]
        points = [self._point(rank, int(index)) for rank, index in enumerate(order)]
        return {
            "@schema": "https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Markups/Resources/"
                       "Schema/markups-schema-v1.0.3.json#",
            "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "locked": True,
                         "labelFormat": "%N-%d", "controlPoints": points}],
        }

    def _point(self, rank: int, index: int) -> dict[str, Any]:
        chosen = " (chosen)" if index == self.chosen else ""
        return {"id": str(rank + 1), "label": f"K{rank + 1}{chosen}",
                "description": f"attention {self.weights[index]:.4f}",
                "position": (_RAS_TO_LPS @ self.positions[index]).round(4).tolist(),
                "selected": True, "locked": True, "visibility": True, "positionStatus": "defined"}

    def save_markups(self, path: str | Path, top: int = 50, overwrite: bool = False) -> None:
        atomic_write(path, json.dumps(self.markups(top), indent=1) + "\n", overwrite)


def explain(volume: Volume | str | Path, settings: ExplainSettings, on_event: OnEvent = ignore,
            cache: dict[Any, Any] | None = None) -> Explanation:
    """Attention of a slice (of the point, or of ``settings.slice``) or, for saliency, of all slices.

    Raises:
        InputError: the point lies outside the scan, or there is no such slice.
        SettingsError: a scale or head that the network does not have, or a direction without a point.
    """
    volume = scan_of(volume, settings.frame, settings.series)
    ready = load_for_inference(settings, settings.model, cache)
    _check(settings, ready)
    prepared = ready.prepare(volume, torch.get_num_threads(), cache)
    warnings = [*volume.warnings, *doubts(volume, ready.card)]
    for text in warnings:
        on_event(Message(text, "warning"))
    grid = prepared.grid
    at = None if settings.point is None else _locate(grid, volume, settings.point)
    slices = _slices(settings, grid, at)
    chosen = None
    if at is not None and settings.direction != "saliency":
        chosen = _nearest_keypoint(prepared.keypoints[slices[0]], at[1:])
    ticker = Ticker(on_event, "explaining", len(slices))
    maps, weights = [], []
    predictor = ready.predictor(settings, source=volume.source)
    for part, features in predictor(prepared.image, prepared.keypoints, slices, capture=True):
        for row, index in enumerate(part):
            points = prepared.keypoints[index]
            matrix = combine(features.attention or [], row, len(points), settings.scale, settings.head,
                             settings.combine)
            weights.append(keypoint_weights(matrix, settings.direction, chosen))
            maps.append(spot_map(points.positions, weights[-1], grid.size, settings.smooth))
        ticker.update(ticker.done + len(part))
    positions, where = _world(grid, prepared.keypoints, slices)
    return Explanation(positions, where, np.concatenate(weights), chosen, tuple(slices), scaled(np.stack(maps)), grid,
                       ready.card, tuple(warnings))


def _nearest_keypoint(keypoints: Keypoints, position: np.ndarray) -> int:
    """Index of the keypoint nearest to (row, column)."""
    return int(((keypoints.positions - position) ** 2).sum(1).argmin())


def _check(settings: ExplainSettings, ready: LoadedModel) -> None:
    if not ready.attended_scales:
        raise InputError(f"model {ready.card.name}", "has no keypoint attention",
                         "Choose a KAF model with keypoint fusion.")
    for name, value, count in (("scale", settings.scale, ready.attended_scales),
                               ("head", settings.head, ready.card.network["heads"])):
        if value is not None and value >= count:
            raise SettingsError(name, f"is {value}, but {ready.card.name} has {count}",
                                f"Choose 0 to {count - 1}, or leave it out for the mean.")
    if settings.direction != "saliency" and settings.point is None:
        raise SettingsError("direction", f"'{settings.direction}' needs a point",
                            "Give --point R A S in mm, or use saliency.")


def _locate(grid: Grid, volume: Volume, point: tuple[float, float, float]) -> np.ndarray:
    """(slice, row, column) of a point in RAS mm."""
    ijk = (np.linalg.inv(volume.affine) @ np.array([*point, 1.0]))[:3]
    if (ijk < -0.5).any() or (ijk > np.array(volume.shape[::-1]) - 0.5).any():
        raise InputError("point", f"{point} lies outside the scan", "Give R, A, S in millimetres inside it.")
    return grid.points_to_canonical(ijk[None])[0]


def _slices(settings: ExplainSettings, grid: Grid, at: np.ndarray | None) -> list[int]:
    if settings.slice is not None:
        if settings.slice >= grid.n_slices:
            raise InputError("slice", f"{settings.slice} is not in the scan",
                             f"It has the slices 0 to {grid.n_slices - 1}.")
        return [settings.slice]
    if at is not None:
        return [int(np.clip(np.floor(at[0] + 0.5), 0, grid.n_slices - 1))]
    return list(range(grid.n_slices))


def _world(grid: Grid, keypoints: list[Keypoints], slices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """RAS positions (N, 3) and slices (N,) of the keypoints of these slices."""
    where = np.concatenate([np.full(len(keypoints[index]), index) for index in slices])
    rows_columns = np.concatenate([keypoints[index].positions for index in slices])
    column_row_slice = np.stack([rows_columns[:, 1], rows_columns[:, 0], where, np.ones(len(where))])
    return (grid.canonical_affine @ column_row_slice)[:3].T, where
