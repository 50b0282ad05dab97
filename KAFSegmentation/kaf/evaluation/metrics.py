"""How well one label map agrees with another: overlap, surface distances and volumes, per label.

Definitions (all surface distances in mm, from the voxel spacing; boundaries as in MONAI):

* A boundary voxel of a mask has at least one of its six face neighbours outside the mask; beyond the edge of
  the volume counts as outside.  Each boundary voxel counts once, whatever its area.
* Dice = 2 |P and R| / (|P| + |R|).
* HD95 = the larger of the two directed 95th percentiles of the distance from the boundary voxels of one mask
  to the nearest boundary voxel of the other (linear interpolation between ranks).
* ASSD = mean of all those distances, both directions pooled.
* NSD = the share of all boundary voxels, both masks pooled, that lie within the tolerance of the other
  boundary (Nikolov et al., arXiv 1809.04430, counted in voxels as in Seidlitz et al., arXiv 2111.05408).

Empty masks, decided once and for all:

* ``absent``: neither map has the label.  Nothing can be said, so every agreement is NaN and stays out of the
  means (a score of 1 would reward cases in which there was nothing to find).
* ``missed``: only the reference has it.  Dice and NSD are 0; the distances do not exist and are NaN.
* ``spurious``: only the prediction has it.  As missed; the relative volume difference does not exist either.
* ``not contoured``: the reference lacks it and whoever asked knows that lacking means undrawn
  (:func:`not_contoured`).  Nothing can be said about the prediction, so every agreement is NaN.

Whoever averages distances must therefore state the numbers of missed and spurious beside the mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from kaf.runtime.errors import InputError

SCORED, MISSED, SPURIOUS, ABSENT, NOT_CONTOURED = "scored", "missed", "spurious", "absent", "not contoured"

# On a grid most distances are exact multiples of the spacing, and file headers round spacings to six or seven
# digits: without this slack (mm) a whole shell of voxels at exactly the tolerance would fall outside of it.
ROUNDING = 1e-4

_NAN = float("nan")


@dataclass(frozen=True)
class LabelMetrics:
    """Agreement of one label in one case.

    ``dice`` and ``nsd`` are in 0..1, ``hd95`` and ``assd`` in mm, volumes in mL.  Differences are prediction
    minus reference; ``relative_difference`` is a fraction of the reference volume.  NaN where the module's
    conventions leave a number undefined.
    """

    label: int
    status: str
    dice: float
    hd95: float
    assd: float
    nsd: float
    prediction_ml: float
    reference_ml: float
    difference_ml: float
    relative_difference: float
    prediction_voxels: int
    reference_voxels: int
    intersection_voxels: int


def case_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing_kji: Sequence[float],
    labels: Iterable[int], tolerance: float,
) -> list[LabelMetrics]:
    """The metrics of every label of one case.

    Args:
        prediction: label map (slice, row, column), integers.
        reference: label map of the same shape.
        spacing_kji: voxel size in mm along (slice, row, column).
        labels: the values to score, each at least 1.
        tolerance: NSD tolerance in mm, not negative.

    Raises:
        InputError: the shapes differ or the maps are not three-dimensional.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise InputError(
            "prediction", f"has shape {prediction.shape} where the reference has {reference.shape}",
            "Compare label maps of the same three-dimensional grid.",
        )
    from scipy.ndimage import find_objects

    boxes = find_objects(prediction), find_objects(reference)
    return [
        _label_metrics(prediction, reference, spacing_kji, label, float(tolerance), _union_box(label, *boxes))
        for label in labels
    ]


def absent(label: int) -> LabelMetrics:
    """The metrics of a label that neither map has."""
    return LabelMetrics(label, ABSENT, _NAN, _NAN, _NAN, _NAN, 0.0, 0.0, 0.0, _NAN, 0, 0, 0)


def not_contoured(metrics: LabelMetrics, always: bool = False) -> LabelMetrics:
    """The same for a reference in which a label that is lacking was just not drawn; ``always``: or only in parts."""
    if metrics.reference_voxels and not always:
        return metrics
    return replace(metrics, status=NOT_CONTOURED, dice=_NAN, hd95=_NAN, assd=_NAN, nsd=_NAN, difference_ml=_NAN,
                   relative_difference=_NAN)


def _union_box(label: int, *boxes: list[tuple[slice, ...] | None]) -> tuple[slice, ...] | None:
    """The smallest box that holds the label in both maps; None where neither has it.

    Nothing changes when metrics are computed inside it: distances only involve boundary voxels, and a voxel
    on the face of the box whose outer neighbour is cut off is a boundary voxel in the whole volume as well,
    because neither mask reaches beyond the box.
    """
    found = [box[label - 1] for box in boxes if label <= len(box)]
    present = [box for box in found if box is not None]
    if not present:
        return None
    axes = zip(*present, strict=True)
    return tuple(slice(min(part.start for part in axis), max(part.stop for part in axis)) for axis in axes)


def _label_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing_kji: Sequence[float],
    label: int, tolerance: float, box: tuple[slice, ...] | None,
) -> LabelMetrics:
    if box is None:
        return absent(label)
    mask_p, mask_r = prediction[box] == label, reference[box] == label
    n_p, n_r = int(np.count_nonzero(mask_p)), int(np.count_nonzero(mask_r))
    n_both = int(np.count_nonzero(mask_p & mask_r))
    voxel_ml = float(np.prod(np.asarray(spacing_kji, dtype=np.float64))) / 1000.0
    hd95 = assd = dice = nsd = _NAN
    if n_p and n_r:
        status = SCORED
        dice = 2.0 * n_both / (n_p + n_r)
        to_reference, to_prediction = surface_distances(mask_p, mask_r, spacing_kji)
        pooled = np.concatenate([to_reference, to_prediction])
        hd95 = float(max(np.percentile(to_reference, 95), np.percentile(to_prediction, 95)))
        assd = float(pooled.mean())
        nsd = float(np.mean(pooled <= tolerance + ROUNDING))
    else:
        status = SPURIOUS if n_p else MISSED
        dice = nsd = 0.0
    return LabelMetrics(
        label, status, dice, hd95, assd, nsd, n_p * voxel_ml, n_r * voxel_ml, (n_p - n_r) * voxel_ml,
        (n_p - n_r) / n_r if n_r else _NAN, n_p, n_r, n_both,
    )


def surface_distances(
    first: np.ndarray, second: np.ndarray, spacing_kji: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in mm from each boundary voxel of ``first`` to the boundary of ``second``, and back.

    Both masks are boolean, of one shape and not empty.  As MONAI's HD95, ASSD and NSD have it, a boundary voxel is one
    that erosion takes away, at the border of the image too; all three metrics start from these two lists.
    """
    edges = [mask ^ binary_erosion(mask) for mask in (first, second)]
    spacing = tuple(float(mm) for mm in spacing_kji)
    to_first, to_second = (distance_transform_edt(~edge, sampling=spacing) for edge in edges)
    return to_second[edges[0]], to_first[edges[1]]
