"""A procedural cine cardiac MR stack in short-axis view, with exact truth.

It looks enough like a balanced steady-state (bSSFP) scan for a network trained on real scans to find the
heart in it, and it may be shipped, shown and tested everywhere because nobody was scanned.  Proportions,
profiles from base to apex and contrasts follow the end-diastolic scans of ACDC (Bernard et al., IEEE TMI
37(11):2514-2525, 2018); as there, papillary muscles and trabeculae belong to the cavities.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kaf.imaging.volume import Volume
from kaf.phantom.surroundings import FAT, SUPER, Grid, Torso, join, random_waves
from kaf.runtime.errors import InputError

RV_CAVITY, MYOCARDIUM, LV_CAVITY = 1, 2, 3
_RV_WALL = 2.5  # mm
_PSF = 0.6  # sigma in pixels of the scanner's own interpolation; the noise passes through it too


@dataclass(frozen=True, eq=False)
class Heart:
    """One heart, in mm and radians; its methods take ``t``, 0 at the base and 1 at the apex."""

    length: float
    radius: float  # of the LV cavity at the base
    wall: float
    closed_at: float  # t where the LV cavity ends and the apical cap begins
    oval: np.ndarray  # harmonics of the LV outline, as in Grid.blob
    outflow: float  # t down to which the outflow tract thins the septum
    rv_width: float  # from the septum outwards, at the base
    rv_span: float  # half of its extent along the septum, at the base
    rv_end: float  # t where the right ventricle ends
    rv_shape: np.ndarray  # harmonics of the RV outline
    pose: float  # direction of the right ventricle, clockwise from the image's right
    centre: tuple[float, float]  # (column, row) from the middle of the view
    drift: np.ndarray  # of the centre from base to apex
    waves: np.ndarray  # the irregularity of its outlines, as in Grid.bend
    fat: float  # mean thickness around it
    muscle: float  # signals, relative to the blood of the left ventricle
    rv_blood: float
    trabeculae: np.ndarray  # rows: angle, distance from the LV wall in mm, radius in mm, first t, last t
    rv_trabeculae: np.ndarray  # rows: position relative to the RV (-1..1, -1..1), radius in mm

    @property
    def reach(self) -> float:
        """From the centre to the far wall of the right ventricle, at the base."""
        return self.radius + self.wall + self.rv_width

    def disc(self, t: float) -> tuple[np.ndarray, float]:
        """Centre and radius of a disc around both ventricles."""
        half = self.rv_width * self.rv_size(t) / 2
        return self.centre + self.drift * t + half * self.to_rv(t), max(1.0, self.outer(t) + half)

    def to_rv(self, t: float) -> np.ndarray:
        """Unit vector to the right ventricle, which turns to the diaphragm towards the apex."""
        return np.array([np.cos(self.pose - 0.28 * t), np.sin(self.pose - 0.28 * t)])

    def cavity(self, t: float) -> float:
        """Radius of the LV cavity; the exponent is fitted to the mean profile of ACDC."""
        return self.radius * float(np.sqrt(max(0.0, 1 - (max(t, 0.0) / self.closed_at) ** 2.75)))

    def outer(self, t: float) -> float:
        """Radius of the epicardium."""
        beyond = max(0.0, t - self.closed_at) / 0.12
        return self.cavity(t) + self.wall * (1 - 0.3 * max(t, 0.0)) * float(np.sqrt(max(0.0, 1 - beyond**2)))

    def rv_size(self, t: float) -> float:
        """Size of the right ventricle relative to the base."""
        return float(np.sqrt(max(0.0, 1 - (max(t, 0.0) / self.rv_end) ** 1.6)))


def draw_heart(rng: np.random.Generator, extent: float, field_of_view: float) -> Heart:
    """A heart that fits a stack ``extent`` mm deep and lies near the middle of its field of view (mm)."""
    u = rng.uniform
    closed_at, radius, n = u(0.93, 1.06), u(21, 33), int(u(25, 60))
    pose = float(np.radians(151 + 14 * np.clip(rng.normal(), -2, 2)))
    papillary = ([u(-0.9, -0.4), u(0.5, 1.0)], u(2, 6, 2), u(4, 6.5, 2), [0.2, 0.2], u(0.6, 0.85, 2))
    small = (rng.normal(0, 1.2, n), u(-1, 2.5, n), u(0.8, 2.4, n), u(0.1, 0.6, n), u(0.5, 1.2, n))
    trabeculae = np.concatenate([np.column_stack(papillary), np.column_stack(small)])
    trabeculae[:, 0] += pose + np.pi  # on the free wall, opposite the right ventricle
    room = float(np.clip((field_of_view - 120) / 140, 0, 1))
    return Heart(
        length=min(0.99 * extent, u(84, 100)), radius=radius, wall=u(7, 11) * (27 / radius) ** 0.5,
        closed_at=closed_at, oval=rng.normal(0, [0.03, 0.03, 0.015, 0.015]), outflow=u(0, 0.15),
        rv_width=u(23, 36), rv_span=u(38, 48), rv_end=closed_at * u(0.88, 0.99),
        rv_shape=rng.normal([-0.05, 0.03, 0, -0.05], 0.025), pose=pose,
        centre=(u(-20, 12) * room, u(-15, 10) * room), drift=u(-5, 5, 2),
        waves=random_waves(rng, (25, 60), 0.7, 6), fat=u(1, 6), muscle=u(0.26, 0.42), rv_blood=u(0.68, 0.88),
        trabeculae=trabeculae, rv_trabeculae=np.column_stack([u(-1, 1, (40, 2)), u(0.5, 1.6, 40)]),
    )


def paint_heart(grid: Grid, heart: Heart, t: float, thickness: float, shift: np.ndarray) -> None:
    """The heart and its labels at level ``t``, moved by ``shift`` mm; ``thickness`` is the slice's, in t."""
    centre = heart.centre + heart.drift * t + shift
    grid.bend(heart.waves, t * heart.length, centre)
    outer, size, to_rv = heart.outer(t), heart.rv_size(t), heart.to_rv(t)
    rv_axes = (0.25 * outer * size + 0.5 * heart.rv_width * size + 4 * size, heart.rv_span * size)
    rv_centre = centre + to_rv * (outer + heart.rv_width * size - rv_axes[0])
    epicardium = grid.blob(centre, (outer, outer), 0, heart.oval)
    # A slice averages over its thickness: where the wall runs obliquely, towards the apex, it is blurred.
    blur = 0.5 + 0.5 * abs(heart.outer(t - thickness / 2) - heart.outer(t + thickness / 2))
    rv, whole = None, epicardium
    if size > 0.1:
        angle = float(np.arctan2(to_rv[1], to_rv[0]))
        rv = join(epicardium, grid.blob(rv_centre, rv_axes, angle, heart.rv_shape), 22 * size)
        whole = np.minimum(epicardium, rv - _RV_WALL)
    _paint_fat(grid, heart, t, centre, whole)
    grid.paint(whole - 0.3, 0.3, 1)
    if t < 0:
        _paint_above(grid, heart, centre, rv_centre)
        return
    if rv is not None:
        grid.paint(rv, heart.rv_blood, 1)
        along, across, radius = heart.rv_trabeculae.T * [[rv_axes[0]], [rv_axes[1]], [0.6 + t]]
        grid.dots(rv_centre[0] + to_rv[0] * along - to_rv[1] * across,
                  rv_centre[1] + to_rv[1] * along + to_rv[0] * across, radius, 0.5, rv < 0)
        grid.labels[rv < 0] = RV_CAVITY
    grid.paint(epicardium, heart.muscle, blur)
    grid.labels[epicardium < 0] = MYOCARDIUM
    if heart.cavity(t) > 2:
        _paint_cavity(grid, heart, t, centre, blur)


def _paint_fat(grid: Grid, heart: Heart, t: float, centre: np.ndarray, whole: np.ndarray) -> None:
    """Epicardial fat: lumpy, most of it over the right ventricle."""
    to_rv = heart.to_rv(t).astype(np.float32)
    dx, dy = grid.x - np.float32(centre[0]), grid.y - np.float32(centre[1])
    facing = (dx * to_rv[0] + dy * to_rv[1]) / (np.hypot(dx, dy) + 1)
    lumps = np.sin(0.11 * dx + 1) * np.sin(0.13 * dy + 3 * t)
    grid.paint(whole - heart.fat * (0.6 + 0.8 * facing + 0.8 * lumps), FAT * 0.75, 2)


def _paint_cavity(grid: Grid, heart: Heart, t: float, centre: np.ndarray, blur: float) -> None:
    cavity, middle = heart.cavity(t), centre
    if t < heart.outflow:  # the outflow tract: the cavity leans on the septum, the wall there is thin
        spare = heart.outer(t) - cavity - max(3.0, 2.2 * grid.step * SUPER)
        middle = centre + 0.8 * max(0.0, spare) * heart.to_rv(t - 3)
    endocardium = grid.blob(middle, (cavity, cavity), 0, heart.oval)
    grid.paint(endocardium, 1 - 0.15 * np.exp(endocardium / 6), blur)  # blood is slower near the wall
    angle, inward, radius, first, last = heart.trabeculae.T
    angle, distance = angle + 0.4 * (t - 0.5), cavity - inward
    radius = np.where((t > first) & (t < last), radius, 0) * min(1, cavity / 20)
    grid.dots(centre[0] + distance * np.cos(angle), centre[1] + distance * np.sin(angle), radius,
              1.1 * heart.muscle, endocardium < 0)
    grid.labels[endocardium < 0] = LV_CAVITY


def _paint_above(grid: Grid, heart: Heart, centre: np.ndarray, rv_centre: np.ndarray) -> None:
    """Atria and aortic root above the base: blood without a label."""
    r = heart.radius
    left_atrium = (centre + np.array([0.2, 0.3]) * r, 0.9 * r, 0.95)
    right_atrium = (rv_centre, 0.9 * r, heart.rv_blood)
    root = (centre - 0.5 * r, 0.55 * r, 1.0)
    for at, radius, signal in (left_atrium, right_atrium, root):
        disc = grid.blob(at, (radius, radius))
        grid.paint(disc - 1.5, 0.25)
        grid.paint(disc, signal, 1)


def _texture(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Smooth random field of standard deviation 1; ``grain`` is its sigma in pixels."""
    field = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), grain)
    return field / field.std()


def coil_map(rng: np.random.Generator, size: int) -> np.ndarray:
    """Sensitivity of the surface coils: stronger towards the chest wall (upper left)."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    a, b, c = (float(v) for v in rng.uniform((-0.4, -0.4, -0.1), (0.1, 0.1, 0.2)))
    return np.exp(a * x + b * y + c * (x * x + y * y - 0.3))


def scan_slice(rng: np.random.Generator, signal: np.ndarray, coils: np.ndarray, noise: float) -> np.ndarray:
    """The magnitude image of a slice's signed signal: uneven tissue, coils, complex noise, interpolation."""
    size = len(signal)
    texture = 0.11 * _texture(rng, size, 1) + 0.1 * _texture(rng, size, 4)
    signal = (signal + texture * np.clip(signal, -0.3, 1)) * coils  # flowing blood is the most uneven
    real, imaginary = noise * rng.standard_normal((2, size, size), np.float32)
    return np.hypot(*(cv2.GaussianBlur(part, (0, 0), _PSF) for part in (signal + real, imaginary)))


def cardiac_phantom(
    seed: int = 0,
    slices: int = 10,
    size: int = 176,
    spacing: float = 1.5,
    slice_spacing: float = 8.0,
    breathing_mm: float = 3.0,
    noise: float = 0.05,
) -> tuple[Volume, Volume]:
    """A short-axis stack of a heart at end diastole and its labels, the same for the same arguments.

    Args:
        seed: chooses the person: size, shape and pose of the heart, chest, fat, contrast, coils, noise.
        slices: number of slices, base first.  The heart fills the stack but is never longer than 100 mm; a
            deeper stack also shows atria above the base and chest below the apex, without labels.
        size: rows and columns.
        spacing: pixel size in mm; up to 2 mm the myocardium separates the LV cavity from all else everywhere.
        slice_spacing: distance between slices in mm, and their thickness.
        breathing_mm: how far the heart may move in the plane between breath holds, each way along rows and
            columns; the labels move with it, the chest does not.
        noise: standard deviation of the complex noise that the receiver adds to each sample, relative to the
            blood of the left ventricle; the scanner's interpolation then halves it.

    Returns:
        The image (int16, 0 or above) and the labels (uint8: 1 RV cavity, 2 myocardium, 3 LV cavity), both
        (slices, size, size): columns run to the left, rows to posterior, slices to superior, and the first
        voxel lies at 0.  A pixel is labelled by the majority of 9 samples.

    Raises:
        InputError: a number is out of range.
    """
    for name, value, allowed in (("slices", slices, slices >= 1), ("size", size, size >= 16),
                                 ("spacing", spacing, spacing > 0), ("noise", noise, noise >= 0),
                                 ("slice spacing", slice_spacing, slice_spacing > 0),
                                 ("breathing", breathing_mm, breathing_mm >= 0)):
        if not (allowed and np.isfinite(value)):
            raise InputError(f"phantom: {name}", f"{value} is out of range", "Give a larger, finite number.")
    rng = np.random.default_rng(seed)
    grid = Grid(size, spacing)
    heart = draw_heart(rng, slices * slice_spacing, size * spacing)
    torso = Torso(rng, heart)
    coils, blood = coil_map(rng, size), rng.uniform(80, 400)
    first = (heart.length - (slices - 1) * slice_spacing) / 2  # mm from the base
    image = np.empty((slices, size, size), np.int16)
    labels = np.empty((slices, size, size), np.uint8)
    for k in range(slices):
        z = first + k * slice_spacing
        t = z / heart.length
        shift = breathing_mm * np.clip(rng.normal(0, (0.35, 0.5)), -1, 1)
        grid.clear()
        torso.paint(grid, z, float(np.clip(t, -0.2, 1.2)))
        if t < 1:
            paint_heart(grid, heart, t, slice_spacing / heart.length, shift)
        labels[k] = grid.majority()
        image[k] = np.rint(np.minimum(blood * scan_slice(rng, grid.averaged(), coils, noise), 32767))
    affine = np.diag([-spacing, -spacing, slice_spacing, 1.0])
    return Volume(image, affine, f"phantom {seed}"), Volume(labels, affine.copy(), f"phantom {seed}, labels")
