"""Cardiac function as it is reported: figures with ranges, and what to check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kaf.function.volumes import Interval, Phases, Ventricle
from kaf.function.wall import NAMES, Wall
from kaf.imaging.labels import Label
from kaf.imaging.volume import Volume

RESEARCH = "For research use only. Not for diagnosis or treatment."


@dataclass(frozen=True, eq=False)
class CardiacFunction:
    """What was measured.

    labels: uint8 on the grid of each frame; curves: structure ("lv", "rv", "myocardium") -> (phases,) mL; ventricles:
    "lv", and "rv" where the model segments it; mass_g: of the LV at end-diastole and at end-systole; walls: at both;
    quality: per phase and structure the predicted quality, as reports tell it; surface_m2: None where height and weight
    are not known; warnings: what to check, the weightiest first.
    """

    labels: tuple[Volume, ...]
    structures: tuple[Label, ...]
    phases: Phases
    times_ms: tuple[float, ...]
    curves: dict[str, np.ndarray]
    ventricles: dict[str, Ventricle]
    mass_g: dict[str, Interval]
    walls: dict[str, Wall]
    quality: tuple[dict[str, Any], ...]
    calibration: str
    surface_m2: float | None
    warnings: tuple[str, ...]
    model: str
    model_digest: str
    seconds: float

    def figures(self) -> list[tuple[str, str, Interval]]:
        """(name, unit, figure) of all single figures, indices by body surface last."""
        rows = []
        for name, ventricle in self.ventricles.items():
            rows += [(f"{name.upper()} EDV", "mL", ventricle.edv), (f"{name.upper()} ESV", "mL", ventricle.esv),
                     (f"{name.upper()} SV", "mL", ventricle.sv), (f"{name.upper()} EF", "%", ventricle.ef)]
        rows += [(f"LV mass at {phase}", "g", value) for phase, value in self.mass_g.items()]
        if self.surface_m2:
            rows += [(f"{name} / BSA", f"{unit}/m2", one.scaled(1 / self.surface_m2))
                     for name, unit, one in list(rows) if unit in ("mL", "g")]
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything but voxels, JSON-ready."""
        return {
            "note": RESEARCH, "model": self.model, "model_digest": self.model_digest,
            "phases": {"count": len(self.labels), "ed": self.phases.ed, "es": self.phases.es,
                       "jumps": list(self.phases.jumps), "times_ms": [round(value, 1) for value in self.times_ms]},
            "figures": [{"name": name, "unit": unit, **{key: _rounded(value) for key, value in asdict(one).items()}}
                        for name, unit, one in self.figures()],
            "curves_ml": {name: [round(float(value), 2) for value in curve] for name, curve in self.curves.items()},
            "wall_thickness_mm": {phase: {name: _rounded(value) for name, value in zip(NAMES, wall.thickness.tolist(),
                                                                                    strict=True)}
                                  for phase, wall in self.walls.items()},
            "predicted_quality": list(self.quality), "calibration": self.calibration,
            "body_surface_m2": _rounded(self.surface_m2), "warnings": list(self.warnings),
            "seconds": round(self.seconds, 2),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 2)


def rows_of(result: CardiacFunction) -> list[Sequence[object]]:
    """The table of single figures: name, unit, value and range."""
    rows: list[Sequence[object]] = [("figure", "unit", "value", "low", "high")]
    for name, unit, one in result.figures():
        rows.append((name, unit, *("" if part is None or not np.isfinite(part) else round(float(part), 2)
                                   for part in (one.value, one.low, one.high))))
    for phase, wall in result.walls.items():
        rows += [(f"wall thickness at {phase}, {name}", "mm", "" if not np.isfinite(value) else round(float(value), 2),
                  "", "") for name, value in zip(NAMES, wall.thickness, strict=True)]
    return rows


def curve_rows(result: CardiacFunction) -> list[Sequence[object]]:
    """The table of volumes over the cycle."""
    names = list(result.curves)
    rows: list[Sequence[object]] = [("phase", "time_ms", *(f"{name}_ml" for name in names))]
    times = result.times_ms or ("",) * len(result.labels)
    for index, time in enumerate(times):
        rows.append((index, time, *(round(float(result.curves[name][index]), 2) for name in names)))
    return rows
