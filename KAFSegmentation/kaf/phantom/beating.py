"""A procedural heart that beats: short-axis cine with exact volumes, for tests of cardiac function.

The heart of :func:`kaf.phantom.heart.cardiac_phantom` contracts: cavities shrink towards their middle, the wall
thickens so that the area of the muscle of each slice stays, the apex rises.  The base stays in its plane, so that a
stack that covers the heart at end-diastole covers it always, and the volumes of the slices are those of the heart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kaf.imaging.volume import Volume
from kaf.phantom.heart import (
    LV_CAVITY,
    MYOCARDIUM,
    RV_CAVITY,
    Heart,
    coil_map,
    draw_heart,
    paint_heart,
    scan_slice,
)
from kaf.phantom.surroundings import Grid, Torso
from kaf.runtime.errors import InputError

_RISE = 0.06  # of the apex, share of the length at the end of systole


@dataclass(frozen=True, eq=False)
class Beat:
    """images and labels by phase, on one grid; times_ms of the phases; lv_ml, rv_ml and wall_ml: (phases,) volumes of
    the heart itself, integrated over denser slices; ed and es: the phases; ef_lv, ef_rv in percent."""

    images: tuple[Volume, ...]
    labels: tuple[Volume, ...]
    times_ms: tuple[float, ...]
    lv_ml: np.ndarray
    rv_ml: np.ndarray
    wall_ml: np.ndarray
    ed: int
    es: int

    @property
    def ef_lv(self) -> float:
        return float(100 * (1 - self.lv_ml[self.es] / self.lv_ml[self.ed]))

    @property
    def ef_rv(self) -> float:
        return float(100 * (1 - self.rv_ml[self.es] / self.rv_ml[self.ed]))


def contraction(phases: int, seconds: float = 0.35) -> np.ndarray:
    """(phases,) 0 at end-diastole (the first phase), 1 at end-systole, after the share ``seconds`` of the cycle."""
    t = np.arange(phases) / phases
    down = np.sin(0.5 * np.pi * np.clip(t / seconds, 0, 1)) ** 2
    up = np.cos(0.5 * np.pi * np.clip((t - seconds) / (0.75 - seconds), 0, 1)) ** 2
    # A slow rest of the filling by the atria, so that the first phase is the largest.
    return np.where(t <= seconds, down, np.maximum(up, 0.06 * (1 - t) / 0.25 * (t > 0.6)))


def beat(seed: int = 0, phases: int = 20, slices: int = 10, size: int = 176, spacing: float = 1.5,
         slice_spacing: float = 8.0, strength: float | None = None, breathing_mm: float = 3.0, noise: float = 0.05,
         with_images: bool = True, dense: int = 4) -> Beat:
    """A cine of one heart, the same for the same arguments.

    Args:
        seed: chooses the person, as for a still phantom, and how strongly the heart contracts.
        strength: share by which the radius of the left cavity shrinks, 0..0.7; None: drawn, 0.12 to 0.5.
        dense: slices for the reference, per slice of the scan.
        with_images: without them ``images`` is empty, which takes a fraction of the time.

    Raises:
        InputError: a number is out of range.
    """
    if phases < 2 or slices < 3 or size < 32 or not (strength is None or 0 <= strength <= 0.7):
        raise InputError("beating phantom", f"{phases} phases, {slices} slices of {size} pixels with strength "
                         f"{strength} cannot be drawn", "Give 2 phases, 3 slices and 32 pixels at least, and a "
                         "strength from 0 to 0.7.")
    rng = np.random.default_rng(seed)
    grid = Grid(size, spacing)
    heart = draw_heart(rng, slices * slice_spacing, size * spacing)
    torso = Torso(rng, heart)
    coils, blood = coil_map(rng, size), rng.uniform(80, 400)
    shifts = breathing_mm * np.clip(rng.normal(0, (0.35, 0.5), (slices, 2)), -1, 1)
    strong = float(rng.uniform(0.12, 0.5)) if strength is None else strength
    weak = strong * float(rng.uniform(0.6, 1.0))
    depth = (heart.length - (slices - 1) * slice_spacing) / 2 + np.arange(slices) * slice_spacing
    fine = (np.arange(slices * dense) + 0.5) / dense * slice_spacing + depth[0] - slice_spacing / 2
    images, labels, volumes = [], [], []
    affine = np.diag([-spacing, -spacing, slice_spacing, 1.0])
    curve = contraction(phases)
    for phase, now in enumerate(curve):
        beating = contracted(heart, strong * now, weak * now)
        drawn = np.stack([_labels(grid, beating, z, slice_spacing, shift)
                          for z, shift in zip(depth, shifts, strict=True)])
        labels.append(Volume(drawn, affine.copy(), f"beating phantom {seed}, labels of phase {phase}"))
        exact = np.zeros(256)
        for z in fine:
            exact += np.bincount(_labels(grid, beating, z, slice_spacing, np.zeros(2)).ravel(), minlength=256)
        volumes.append(exact * spacing ** 2 * slice_spacing / dense / 1000)
        if with_images:
            stack = [_image(rng, grid, torso, beating, z, slice_spacing, shift, coils, blood, noise)
                     for z, shift in zip(depth, shifts, strict=True)]
            images.append(Volume(np.stack(stack), affine.copy(), f"beating phantom {seed}, phase {phase}"))
    found = np.array(volumes)
    return Beat(tuple(images), tuple(labels), tuple(900 * np.arange(phases) / phases), found[:, LV_CAVITY],
                found[:, RV_CAVITY], found[:, MYOCARDIUM], int(np.argmax(found[:, LV_CAVITY])),
                int(np.argmin(found[:, LV_CAVITY])))


def contracted(heart: Heart, left: float, right: float) -> Heart:
    """The heart with its left radius smaller by the share ``left`` and its right ventricle by ``right``."""
    radius = heart.radius * (1 - left)
    outer = np.sqrt((heart.radius + heart.wall) ** 2 - heart.radius ** 2 + radius ** 2)  # the muscle's area stays
    return replace(heart, radius=radius, wall=float(outer - radius), rv_width=heart.rv_width * (1 - right),
                   rv_span=heart.rv_span * (1 - 0.35 * right), length=heart.length * (1 - _RISE * left / 0.5))


def _labels(grid: Grid, heart: Heart, z: float, thickness: float, shift: np.ndarray) -> np.ndarray:
    grid.clear()
    if 0 <= z / heart.length < 1:
        paint_heart(grid, heart, z / heart.length, thickness / heart.length, shift)
    return grid.majority()


def _image(rng: np.random.Generator, grid: Grid, torso: Torso, heart: Heart, z: float, thickness: float,
           shift: np.ndarray, coils: np.ndarray, blood: float, noise: float) -> np.ndarray:
    t = z / heart.length
    grid.clear()
    torso.paint(grid, z, float(np.clip(t, -0.2, 1.2)))
    if t < 1:
        paint_heart(grid, heart, t, thickness / heart.length, shift)
    scanned = scan_slice(rng, grid.averaged(), coils, noise)
    return np.rint(np.minimum(blood * scanned, 32767)).astype(np.int16)
