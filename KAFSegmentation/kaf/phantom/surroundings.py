"""What surrounds the heart in the phantom, and the supersampled plane that everything is drawn on.

Signals are signed, fat negative, until the magnitude is taken: pixels that share fat and water then go dark,
which draws the black contours of balanced steady-state (bSSFP) scans by their own physics.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

import cv2
import numpy as np

SUPER = 3  # samples per pixel and axis; odd, so that two tissues cannot tie
MUSCLE, FAT = 0.28, -1.2  # signal relative to the blood of the left ventricle; air is 0
_BENT = 22  # mm that Grid.bend moves an outline at most, about


def random_waves(
    rng: np.random.Generator, wavelengths: tuple[float, float], amplitude: float, n: int
) -> np.ndarray:
    """``n`` waves for :meth:`Grid.bend`, wavelengths in mm; short ones are weaker than ``amplitude`` mm."""
    direction, length = rng.uniform(0, 2 * np.pi, n), rng.uniform(*wavelengths, n)
    k = 2 * np.pi / length
    size = amplitude * length / wavelengths[1]
    return np.column_stack([*(rng.normal(0, 1, (2, n)) * size), k * np.cos(direction), k * np.sin(direction),
                            rng.normal(0, 0.02, n), rng.uniform(0, 2 * np.pi, n)])


class Grid:
    """The supersampled plane: coordinates in mm from the middle of the view, and what is drawn on it."""

    def __init__(self, size: int, spacing: float):
        self.step, n = spacing / SUPER, size * SUPER
        axis = ((np.arange(n) + 0.5 - n / 2) * self.step).astype(np.float32)
        self.plain = np.meshgrid(axis, axis)
        self.x, self.y = self.plain
        self.size, self.shape = size, (n, n)
        self.clear()

    def clear(self) -> None:
        self.signal = np.zeros(self.shape, np.float32)
        self.labels = np.zeros(self.shape, np.uint8)

    def around(self, centre, radius: float) -> tuple[Grid, tuple[slice, slice]]:
        """The square window around a place (column, row in mm) as a view to paint on, and where it lies."""
        low = (np.asarray(centre) - radius) / self.step + self.shape[0] / 2
        first = np.clip(low.astype(int), 0, self.shape[0])
        last = np.clip((low + 2 * radius / self.step).astype(int) + 1, 0, self.shape[0])
        where = (slice(first[1], last[1]), slice(first[0], last[0]))
        view = copy(self)
        view.x, view.y, view.signal = self.x[where], self.y[where], self.signal[where]
        return view, where

    def bend(self, waves: np.ndarray, z: float, centre=(0.0, 0.0)) -> None:
        """Warp the coordinates smoothly about ``centre``, so that no outline drawn next is a perfect curve.

        Rows of ``waves``: displacement (x, y) in mm, wave vector (x, y, z) per mm, phase.
        """
        coarse = [np.ascontiguousarray(p[::8, ::8]) for p in self.plain]
        moved = np.zeros((2, *coarse[0].shape), np.float32)
        for ax, ay, kx, ky, kz, phase in waves.astype(np.float32):
            wave = np.sin(kx * (coarse[0] - np.float32(centre[0])) + ky * (coarse[1] - np.float32(centre[1]))
                          + kz * np.float32(z) + phase)
            moved += np.stack([ax * wave, ay * wave])
        n = self.shape[0]
        self.x, self.y = (p + cv2.resize(m, (n, n), interpolation=cv2.INTER_CUBIC)
                          for p, m in zip(self.plain, moved, strict=True))

    def blob(self, centre, axes, turn=0.0, harmonics=None, box=False) -> np.ndarray:
        """Distance in mm (approximate, negative inside) to an ellipse whose outline carries the harmonics
        cos 2, sin 2, cos 3, sin 3; or to one with fuller corners (a superellipse of order 4)."""
        dx, dy = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = (c * dx + s * dy) / np.float32(axes[0]), (c * dy - s * dx) / np.float32(axes[1])
        u2, v2 = u * u, v * v
        rho = np.sqrt(np.sqrt(u2 * u2 + v2 * v2) if box else u2 + v2) + np.float32(1e-6)
        edge = np.float32(1.0)
        if harmonics is not None:
            u, v = u / rho, v / rho
            c2, s2 = u * u - v * v, 2 * u * v
            h = np.asarray(harmonics, np.float32)
            edge = 1 + h[0] * c2 + h[1] * s2 + h[2] * (c2 * u - s2 * v) + h[3] * (s2 * u + c2 * v)
        return (rho - edge) * np.float32(min(axes))

    def paint(self, distance: np.ndarray, value, soft: float = 0.5) -> None:
        """Lay a tissue where ``distance`` < 0; its edge is ``soft`` mm wide."""
        self.signal += np.clip(0.5 - distance / np.float32(soft), 0, 1) * (np.float32(value) - self.signal)

    def dots(self, x, y, radius, value, where: np.ndarray) -> None:
        """Small discs (arrays in mm), drawn where the mask allows."""
        layer = np.full(self.signal.shape, np.nan, np.float32)
        px = np.rint((np.column_stack([x, y]) / self.step + self.shape[1] / 2 - 0.5) * 16).astype(int)
        for at, r, v in zip(px, radius, np.broadcast_to(value, len(px)), strict=True):
            if r > 0:
                middle = (int(at[0]), int(at[1]))
                cv2.circle(layer, middle, int(r / self.step * 16), float(v), -1, cv2.LINE_8, 4)
        where = where & ~np.isnan(layer)
        self.signal[where] = layer[where]

    def averaged(self) -> np.ndarray:
        """The signed signal per pixel."""
        return cv2.resize(self.signal, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def majority(self) -> np.ndarray:
        """The label that fills most of each pixel."""
        share = [cv2.resize((self.labels == v).astype(np.float32), (self.size, self.size),
                            interpolation=cv2.INTER_AREA) for v in range(4)]
        return np.argmax(share, axis=0).astype(np.uint8)


def join(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Union of two distances with the groove between them filled to about ``k`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / np.float32(k), 0, 1)
    return b + (a - b) * h - np.float32(k) * h * (1 - h)


class Inside(Protocol):
    """What the torso has to know of the heart in it: (column, row) and radius in mm from the middle."""

    @property
    def centre(self) -> tuple[float, float]: ...

    def disc(self, t: float) -> tuple[np.ndarray, float]: ...


class Torso:
    """Everything around the heart: chest wall, lung, diaphragm, organs, spine and vessels, in mm.

    ``z`` is the depth below the base of the heart, ``t`` the same relative to the heart's length.
    """

    def __init__(self, rng: np.random.Generator, heart: Inside):
        self.heart, u = heart, rng.uniform
        (column, row), (middle, radius) = heart.centre, heart.disc(0)
        self.fat, self.fat_gain, self.wall = u(5, 18), u(4, 24), u(6, 13)
        self.slide, self.drop, self.turn = u(12, 35), u(30, 70), u(-0.05, 0.25)  # towards the apex
        self.left = float(middle[0]) - radius - self.fat - self.wall - 60 * max(self.turn, 0.0) + u(-15, 5)
        self.right, self.top = u(115, 185), u(-165, -115)
        self.shape = rng.normal([0, 0, 0, 0.04], 0.02)
        self.ribs, self.phase = u(16, 26), u(0, 6.3)
        self.lung, self.liver = u(0.06, 0.16), u(0.24, 0.4)
        self.under = row + u(30, 52)  # the diaphragm, below the heart and on the right of the image
        self.right_base, self.right_apex, self.split = u(35, 90), u(5, 30), u(0, 30)
        self.spine, self.spine_turn = (u(30, 65), u(85, 115)), u(-0.5, 0.5)
        self.aorta, self.aorta_axes = (column + u(25, 45), row + u(44, 58)), (u(8, 11), u(11, 20))
        self.waves, self.fine = random_waves(rng, (90, 200), 5, 5), random_waves(rng, (15, 45), 1.2, 6)
        # Organs: x, y, z, half axes, half length in z, turn, signal.
        n = 26
        self.organs = np.column_stack([u(-20, 125, n), u(20, 135, n), u(0, 110, n), u(8, 28, n), u(8, 24, n),
                                       u(20, 60, n), u(0, 3.1, n), u(0.15, 0.6, n)])
        # Vessels: x and y at the base, slopes per mm of depth, radius, signal.
        self.lung_vessels = np.column_stack([u(-80, 120, 90), u(-110, 60, 90), rng.normal(0, 0.5, (90, 2)),
                                             rng.gamma(2, 0.6, 90), u(0.2, 1.1, 90)])
        self.liver_vessels = np.column_stack([u(-100, 60, 40), u(30, 130, 40), rng.normal(0, 0.6, (40, 2)),
                                              u(0.8, 3.5, 40), u(0.45, 0.8, 40)])

    def paint(self, grid: Grid, z: float, t: float) -> None:
        grid.bend(self.waves, z)
        inside = self._chest(grid, t)
        self._vessels(grid, self.lung_vessels, z, inside < -2)
        grid.bend(np.concatenate([self.waves, self.fine]), z)
        self._abdomen(grid, inside, z, t)
        for vertebra in (-29, 0, 29) if t < 0.7 else ():
            along = (np.sin(self.spine_turn), np.cos(self.spine_turn))
            centre = (self.spine[0] + vertebra * along[0], self.spine[1] + vertebra * along[1])
            view, where = grid.around(centre, 20 + _BENT)
            bone = np.maximum(view.blob(centre, (19, 13), self.spine_turn), inside[where] + 2)
            view.paint(bone - 2, 0.12, 2)
            view.paint(bone, 0.45, 2)
        if t < 0.5:
            view, _ = grid.around(self.aorta, 22 + _BENT)
            aorta = view.blob(self.aorta, self.aorta_axes, 0.3)
            view.paint(aorta - 2, 0.15, 2)
            view.paint(aorta, 0.95, 2)

    def _chest(self, grid: Grid, t: float) -> np.ndarray:
        left, top = self.left + self.slide * t, self.top + self.drop * t
        middle = ((left + self.right) / 2, (top + 290) / 2)
        skin = grid.blob(middle, ((self.right - left) / 2, (290 - top) / 2), self.turn, self.shape, box=True)
        centre, radius = self.heart.disc(t)
        skin = join(skin, grid.blob(centre, (radius, radius)) - self.fat - self.wall - 2, 35)
        grid.paint(skin, FAT)
        chest = skin + (self.fat + self.fat_gain * max(t, 0)) * np.clip(1 - (grid.y + 60) / 200, 0.2, 1.2)
        angle = np.arctan2(grid.y - np.float32(middle[1]), grid.x - np.float32(middle[0]))
        grid.paint(chest, MUSCLE)
        wave = np.sin(self.ribs * angle + self.phase)
        rib = np.abs(chest + 0.6 * self.wall) - 0.3 * self.wall * (1 + wave)
        grid.paint(rib + 1, 0.08, 2)
        grid.paint(rib + 3, -0.6, 2)
        inside = chest + self.wall
        grid.paint(inside, self.lung)
        return inside

    def _abdomen(self, grid: Grid, inside: np.ndarray, z: float, t: float) -> None:
        step = 1 / (1 + np.exp(-(grid.x - np.float32(self.split - 30 * t)) / 12))
        low = self.under - 8 * t + 0.0016 * (grid.x + 30) ** 2
        high = self.right_base + (self.right_apex - self.right_base) * t + 0.002 * (grid.x - 60) ** 2
        belly = np.maximum(low + (high - low) * step - grid.y, inside + 1)
        grid.paint(belly, FAT * 0.8)
        for x, y, at, a, b, half, turn, value in self.organs:
            r = 1 - ((z - at) / half) ** 2
            if r > 0.05:
                view, where = grid.around((x, y), max(a, b) + _BENT)
                organ = np.maximum(view.blob((x, y), (a * r**0.5, b * r**0.5), turn), belly[where] + 2)
                view.paint(organ, value)
                if value > 0.4:
                    view.paint(organ + 6, 1.3 * value, 3)
        liver = np.maximum(belly, grid.x - np.float32(self.split + 35 - 45 * t) - 0.25 * (grid.y - 60))
        grid.paint(liver, self.liver)
        self._vessels(grid, self.liver_vessels, z, liver < -3)

    @staticmethod
    def _vessels(grid: Grid, vessels: np.ndarray, z: float, where: np.ndarray) -> None:
        x, y, slope_x, slope_y, radius, value = vessels.T
        grid.dots(x + slope_x * z, y + slope_y * z, radius, value, where)
