"""A procedural cine cardiac MR stack in short-axis view, with exact truth.

It looks enough like a balanced steady-state (bSSFP) scan for a network trained on real scans to find the heart
in it, and it may be shipped, shown and tested everywhere because nobody was scanned.  Proportions, profiles
from base to apex and contrasts follow the end-diastolic scans of ACDC (Bernard et al., IEEE TMI
37(11):2514-2525, 2018).  Signals are signed, fat negative, until the magnitude is taken: pixels that share fat
and water then go dark, which draws the black contours of bSSFP by its own physics.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kaf.errors import InputError
from kaf.phantom_scene import FAT, SUPER, Grid, Torso, random_waves
from kaf.volume import Volume

RV_CAVITY, MYOCARDIUM, LV_CAVITY = 1, 2, 3
_PSF = 0.6  # sigma in pixels of the scanner's own interpolation; the noise passes through it too


@dataclass(frozen=True)
class _Heart:
    """One heart, in mm and radians; ``t`` runs from 0 at the base to 1 at the apex."""

    length: float
    radius: float  # of the LV cavity at the base
    wall: float
    closed_at: float  # t where the LV cavity ends and the apical cap begins
    rv_width: float
    rv_span: float
    rv_end: float
    pose: float  # direction of the right ventricle, clockwise from the image's right
    centre: np.ndarray
    drift: np.ndarray  # of the centre from base to apex
    oval: np.ndarray  # harmonics of the LV outline, as in _blob
    outflow: float  # t down to which the outflow tract thins the septum
    rv_shape: np.ndarray  # harmonics of the RV outline
    fat: float
    muscle: float
    rv_blood: float
    trabeculae: np.ndarray  # rows: angle, distance from the LV wall in mm, radius in mm, first t, last t
    waves: np.ndarray  # the irregularity of its outlines, as in Grid.bend
    rv_trabeculae: np.ndarray  # rows: position relative to the RV (-1..1, -1..1), radius in mm

    @property
    def reach(self) -> float:
        """From the centre to the far wall of the right ventricle, at the base."""
        return self.radius + self.wall + self.rv_width

    def cavity(self, t: float) -> float:
        """Radius of the LV cavity; the exponent is fitted to the mean profile of ACDC."""
        return self.radius * float(np.sqrt(max(0.0, 1 - (max(t, 0.0) / self.closed_at) ** 2.75)))

    def outer(self, t: float) -> float:
        """Radius of the epicardium."""
        beyond = max(0.0, t - self.closed_at) / 0.12
        return self.cavity(t) + self.wall * (1 - 0.3 * max(t, 0.0)) * float(np.sqrt(max(0.0, 1 - beyond**2)))

    def rv_size(self, t: float) -> float:
        """Size of the right ventricle relative to the base."""
        return float(np.sqrt(max(0.0, 1 - (max(t, 0.0) / self.rv_end) ** 2.0)))


def _draw_heart(rng: np.random.Generator, extent: float, field_of_view: float) -> _Heart:
    u = rng.uniform
    radius, reach = u(21, 33), min(1.0, field_of_view / 260)
    papillary = np.column_stack([[u(-0.9, -0.4), u(0.5, 1.0)], u(2, 6, 2), u(4, 6.5, 2), (0.2, 0.2), u(0.6, 0.85, 2)])
    n = int(u(25, 60))
    small = np.column_stack([rng.normal(0, 1.2, n), u(-1, 2.5, n), u(0.8, 2.4, n), u(0.1, 0.6, n), u(0.5, 1.2, n)])
    trabeculae = np.concatenate([papillary, small])
    pose = np.radians(148 + 14 * np.clip(rng.normal(), -2, 2))
    trabeculae[:, 0] += pose + np.pi  # on the free wall, opposite the right ventricle
    return _Heart(
        length=min(0.99 * extent, u(84, 100)), radius=radius, wall=u(7.0, 11.0) * (27 / radius) ** 0.5,
        closed_at=u(0.93, 1.06), rv_width=u(23, 38), rv_span=u(38, 48), rv_end=u(0.86, 1.1), pose=pose,
        centre=np.array([u(-20, 12), u(-15, 10)]) * reach, drift=u(-5, 5, 2),
        oval=rng.normal(0, [0.03, 0.03, 0.015, 0.015]), outflow=u(0, 0.15), rv_shape=rng.normal((-0.05, 0.03, 0, -0.08), 0.025), fat=u(1, 6), muscle=u(0.26, 0.42),
        rv_blood=u(0.68, 0.88), trabeculae=trabeculae, waves=random_waves(rng, (25, 60), 0.7, 6),
        rv_trabeculae=np.column_stack([u(-1, 1, (40, 2)), u(0.5, 1.6, 40)]),
    )


def _join(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Union of two distances with the groove between them filled to about ``k`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / np.float32(k), 0, 1)
    return b + (a - b) * h - np.float32(k) * h * (1 - h)


def _paint_heart(grid: Grid, heart: _Heart, t: float, thickness: float, shift: np.ndarray) -> None:
    """The heart at level ``t`` of a slice ``thickness`` (in t) thick, with its labels."""
    centre = heart.centre + heart.drift * t + shift
    grid.bend(heart.waves, t * heart.length, centre)
    outer, cavity, size = heart.outer(t), heart.cavity(t), heart.rv_size(t)
    pose = heart.pose - 0.28 * t  # the right ventricle turns to the diaphragm towards the apex
    to_rv = np.array([np.cos(pose), np.sin(pose)])
    depth = max(0.5 * outer * size + heart.rv_width * size, 1e-3)
    rv_axes = (0.5 * depth + 4 * size, max(heart.rv_span * size, 1e-3))
    rv_centre = centre + to_rv * (outer + heart.rv_width * size - rv_axes[0])
    epi = grid.blob(centre, (outer, outer), 0, heart.oval)
    rv = _join(epi, grid.blob(rv_centre, rv_axes, pose, heart.rv_shape), 22 * size + 0.01)
    soft = 0.5 + 0.5 * abs(heart.outer(t - thickness / 2) - heart.outer(t + thickness / 2))

    whole = np.minimum(epi, rv - 2.5) if size > 0.1 else epi
    dx, dy = grid.x - np.float32(centre[0]), grid.y - np.float32(centre[1])
    facing = (dx * np.float32(to_rv[0]) + dy * np.float32(to_rv[1])) / (np.hypot(dx, dy) + 1)
    lumps = np.sin(dx * np.float32(0.11) + 1) * np.sin(dy * np.float32(0.13) + np.float32(3 * t))
    grid.paint(whole - heart.fat * (0.6 + 0.8 * facing + 0.8 * lumps), FAT * 0.75, 2)
    grid.paint(whole - 0.3, 0.3, 1)
    if t < 0:
        _paint_above(grid, heart, centre, rv_centre)
        return
    if size > 0.1:
        grid.paint(rv, heart.rv_blood, 1)
        x, y = heart.rv_trabeculae[:, 0] * rv_axes[0], heart.rv_trabeculae[:, 1] * rv_axes[1]
        c, s = to_rv
        grid.dots(rv_centre[0] + c * x - s * y, rv_centre[1] + s * x + c * y, heart.rv_trabeculae[:, 2] * (0.6 + t), 0.5, rv < 0)
        grid.labels[rv < 0] = RV_CAVITY
    grid.paint(epi, heart.muscle, soft)
    grid.labels[epi < 0] = MYOCARDIUM
    if cavity > 2:
        opening = max(0.0, outer - cavity - max(3.0, 2.2 * grid.step * SUPER)) if t < heart.outflow else 0.0
        side = np.array([np.cos(pose + 0.9), np.sin(pose + 0.9)])
        _paint_cavity(grid, heart, t, centre, centre + 0.8 * opening * side, soft)


def _paint_cavity(grid: Grid, heart: _Heart, t: float, centre, middle, soft: float) -> None:
    cavity = heart.cavity(t)
    endo = grid.blob(middle, (cavity, cavity), 0, heart.oval)
    grid.paint(endo, 1.0 - 0.15 * np.exp(endo / 6), soft)  # slower blood near the wall
    angle, inward, radius, first, last = heart.trabeculae.T
    radius = np.where((t > first) & (t < last), radius, 0) * min(1, cavity / 20)
    angle = angle + 0.4 * (t - 0.5)
    grid.dots(centre[0] + (cavity - inward) * np.cos(angle), centre[1] + (cavity - inward) * np.sin(angle),
              radius, 1.1 * heart.muscle, endo < 0)
    grid.labels[endo < 0] = LV_CAVITY


def _paint_above(grid: Grid, heart: _Heart, centre: np.ndarray, rv_centre: np.ndarray) -> None:
    """Atria and great vessels above the base: blood without a label."""
    r = heart.radius
    for at, radius, value in ((centre + (0.2 * r, 0.3 * r), 0.9 * r, 0.95), (rv_centre, 0.9 * r, heart.rv_blood),
                              (centre + (-0.5 * r, -0.5 * r), 0.55 * r, 1.0)):
        disc = grid.blob(at, (radius, radius))
        grid.paint(disc - 1.5, 0.25)
        grid.paint(disc, value, 1)


def _texture(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Smooth random field of standard deviation about 1; ``grain`` is its sigma in pixels."""
    field = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), grain)
    return field / (field.std() + np.float32(1e-6))


def _bias(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Sensitivity of the surface coils: stronger towards the chest wall (upper left)."""
    axis = np.linspace(-1, 1, grid.size, dtype=np.float32)
    x, y, (a, b, c) = axis[None, :], axis[:, None], rng.uniform((-0.4, -0.4, -0.1), (0.1, 0.1, 0.2))
    return np.exp(np.float32(a) * x + np.float32(b) * y + np.float32(c) * (x * x + y * y - 0.3))


def cardiac_phantom(seed: int = 0, slices: int = 10, size: int = 176, spacing: float = 1.5,
                    slice_spacing: float = 8.0, breathing_mm: float = 3.0, noise: float = 0.05,
                    ) -> tuple[Volume, Volume]:
    """A short-axis heart and its truth."""
    rng = np.random.default_rng(seed)
    grid = Grid(size, spacing)
    heart = _draw_heart(rng, slices * slice_spacing, size * spacing)
    torso = Torso(rng, heart)
    bias, blood = _bias(rng, grid), rng.uniform(80, 400)
    first = (heart.length - (slices - 1) * slice_spacing) / 2  # mm below the base
    image = np.empty((slices, size, size), np.float32)
    labels = np.empty((slices, size, size), np.uint8)
    for k in range(slices):
        z = first + k * slice_spacing
        t = z / heart.length
        shift = breathing_mm * np.clip(rng.normal(0, (0.35, 0.5)), -1, 1)
        grid.clear()
        torso.paint(grid, z, float(np.clip(t, -0.2, 1.2)))
        if t < 1:
            _paint_heart(grid, heart, t, slice_spacing / heart.length, shift)
        signal = grid.averaged()
        texture = 0.11 * _texture(rng, size, 1.0) + 0.1 * _texture(rng, size, 4)
        signal = (signal + texture * np.clip(signal, -0.3, 1)) * bias  # blood flows: it is the most uneven
        samples = rng.normal(0, noise, (2, size, size)).astype(np.float32)
        real, imaginary = (cv2.GaussianBlur(s, (0, 0), _PSF) for s in (signal + samples[0], samples[1]))
        image[k] = np.hypot(real, imaginary)
        labels[k] = grid.majority()
    voxels = np.clip(np.rint(image * blood), 0, 32767).astype(np.int16)
    affine = np.diag([-spacing, -spacing, slice_spacing, 1.0])  # columns to L, rows to P, slices to S
    return Volume(voxels, affine, f"phantom {seed}"), Volume(labels, affine.copy(), f"phantom {seed} truth")
