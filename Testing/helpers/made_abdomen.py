"""A synthetic abdomen for pictures and timings: body, spine, kidneys, stomach, and two organs that are to be drawn."""

import numpy as np

from kaf.imaging.volume import Volume

NAMES = {1: "liver", 2: "spleen"}
_SHIFT = 0.11  # how far an organ wanders from its first to its last slice


def abdomen(slices: int = 20, size: int = 256, seed: int = 0) -> tuple[Volume, Volume]:
    """The scan (int16, CT numbers) and its labels; slices 5 mm apart, a field of view of 380 mm."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(np.linspace(-1, 1, slices), np.linspace(-1, 1, size), np.linspace(1, -1, size),
                          indexing="ij")  # (S, A, L)
    body = (x / 0.72) ** 2 + (y / 0.56) ** 2 < 1
    inside = (x / 0.67) ** 2 + (y / 0.51) ** 2 < 1
    liver = _organ(x, y, z, (-0.3, 0.06, 0.1), (0.33, 0.36, 0.66), 0.12, 0.5) & inside \
        & ~_ball(x, y, z, (0.02, -0.5), 0.3)
    spleen = _organ(x, y, z, (0.46, -0.12, 0.1), (0.16, 0.28, 0.55), 0.18, 1.7) & inside & ~liver
    kidneys = _organ(x, y, z, (-0.3, -0.32, -0.6), (0.1, 0.12, 0.4), 0.1, 0.2) \
        | _organ(x, y, z, (0.3, -0.34, -0.5), (0.1, 0.12, 0.4), 0.1, 0.9)
    stomach = _organ(x, y, z, (0.26, 0.22, 0.1), (0.2, 0.18, 0.6), 0.2, 2.5)
    spine = _ball(x, y, z, (0.0, -0.3), 0.1)
    voxels = np.full(x.shape, -1000.0)
    for mask, value in ((body, 20), (body & ~inside, -95), (stomach & inside, -10),
                        (kidneys & inside, 150), (spleen, 118), (liver, 100), (spine, 280)):
        voxels[mask] = value
    voxels += rng.normal(0, 12, voxels.shape) * (voxels > -500)
    labels = np.zeros(x.shape, np.uint8)
    labels[spleen], labels[liver] = 2, 1
    step = 380 / size
    affine = np.array([[step, 0, 0, -190], [0, step, 0, -190], [0, 0, 5.0, -50], [0, 0, 0, 1]])
    return Volume(voxels.astype(np.int16), affine), Volume(labels, affine)


def _organ(x, y, z, centre, radii, ripple, phase):
    """A ball whose outline is uneven and whose middle wanders from slice to slice."""
    dx, dy, dz = x - centre[0] - _SHIFT * z, y - centre[1] + _SHIFT * z * z, z - centre[2]
    angle = np.arctan2(dy, dx)
    edge = 1 + ripple * np.sin(2 * angle + phase + z) + ripple / 2 * np.cos(3 * angle - phase)
    return (dx / radii[0]) ** 2 + (dy / radii[1]) ** 2 + (dz / radii[2]) ** 2 < edge ** 2


def _ball(x, y, z, centre, radius):
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius ** 2 + 0 * z
