"""What the attention panel asks of the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from kaf.modelfile.card import Card
from KAFSegmentationLib.backend.Devices import workerThreads
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry


@dataclass(frozen=True)
class Question:
    """What is asked of the worker; two that are equal have the same answer."""

    key: tuple
    view: str
    model: str
    device: str
    scale: int
    head: int
    point: tuple | None = None

    def request(self) -> tuple[str, dict[str, Any]]:
        """The verb and its settings."""
        settings = {"model": self.model, "device": self.device, "threads": workerThreads()}
        if self.view in ("uncertainty", "clusters"):
            return "segment", {**settings, self.view: True}
        settings["direction"] = self.view
        if self.point is not None:
            settings["point"] = self.point
        if self.scale >= 0:
            settings["scale"] = self.scale
        if self.head >= 0:
            settings["head"] = self.head
        return "explain", settings


def scaleCount(card: Card | None) -> int:
    """How many scales of a model have keypoint attention."""
    if card is None:
        return 0
    network = card.network
    if network.get("kind") != "kaf" or network.get("fusion") != "keypoints" or not network.get("blocks"):
        return 0
    return sum(network["scales"])


def isInside(geometry: VolumeGeometry, point: Sequence[float]) -> bool:
    """Whether a point of the volume's frame lies in the volume."""
    ijk = np.linalg.inv(geometry.affine()) @ [*point, 1.0]
    return bool((ijk[:3] >= -0.5).all() and (ijk[:3] <= np.array(geometry.shape()[::-1]) - 0.5).all())


def middle(geometry: VolumeGeometry) -> tuple[float, ...]:
    """The point in the middle of the slice that the red view shows, in the volume's frame; of the volume if that
    slice misses it."""
    centre = (geometry.affine() @ [*((np.array(geometry.shape()[::-1]) - 1) / 2), 1.0])[:3]
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    if red is not None:
        normal = np.array([red.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
        world = np.array(geometry.toWorld(centre))
        shown = geometry.toLocal(world + (red.GetSliceOffset() - world @ normal) * normal)
        if isInside(geometry, shown):
            centre = shown
    return tuple(round(float(part), 3) for part in centre)
