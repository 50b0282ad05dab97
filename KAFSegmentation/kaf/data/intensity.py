"""Intensity augmentation of training patches, in place on (C, H, W) float32 of mean about 0 and deviation about 1."""

from __future__ import annotations

import cv2
import numpy as np


def change_intensity(rng: np.random.Generator, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Contrast, brightness, gamma, bias field, blur or lost resolution, noise; each drawn by itself.

    ``strength`` 1 is the usual amount, 0 changes nothing.  All channels get the same change, but for noise.
    """
    if strength <= 0:
        return image
    image = image * np.float32(np.exp(rng.normal(0, 0.15 * strength)))
    image = image + np.float32(rng.normal(0, 0.15 * strength))
    if rng.random() < 0.5:
        image = _gamma(image, float(np.exp(rng.normal(0, 0.3 * strength))))
    if rng.random() < 0.3:
        image = image * _bias(rng, image.shape[1:], 0.3 * strength)
    if rng.random() < 0.2:
        sigma = float(rng.uniform(0.4, 0.4 + 0.8 * strength))
        image = np.stack([cv2.GaussianBlur(channel, (0, 0), sigma) for channel in image])
    elif rng.random() < 0.15:
        image = _lose_resolution(image, float(rng.uniform(1, 1 + strength)))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + noise * np.float32(rng.uniform(0, 0.15 * strength))
    return image.astype(np.float32, copy=False)


def _gamma(image: np.ndarray, gamma: float) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return image
    return (((image - low) / (high - low)) ** gamma * (high - low) + low).astype(np.float32)


def _bias(rng: np.random.Generator, size: tuple[int, ...], amount: float) -> np.ndarray:
    coarse = rng.normal(0, amount, (3, 3)).astype(np.float32)
    return np.exp(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def _lose_resolution(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = image.shape[1:]
    small = (max(2, round(width / factor)), max(2, round(height / factor)))
    return np.stack([
        cv2.resize(cv2.resize(channel, small, interpolation=cv2.INTER_AREA), (width, height),
                   interpolation=cv2.INTER_LINEAR) for channel in image])
