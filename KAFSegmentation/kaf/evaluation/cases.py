"""One case of an evaluation, scored and kept until the table is written, so that processes can share the cases."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kaf._version import __version__
from kaf.evaluation.metrics import LabelMetrics, case_metrics, not_contoured
from kaf.evaluation.pairing import Pair, named_labels, require_same_grid
from kaf.evaluation.predicted import predicted_beside
from kaf.imaging.labels import Label, plain_label
from kaf.imaging.source import quick_stamp
from kaf.imaging.volume import read_labels
from kaf.quality.prediction import PredictedDice
from kaf.runtime import json_files
from kaf.runtime.files import atomic_write
from kaf.settings.evaluate import EvaluateSettings


@dataclass(frozen=True)
class Scored:
    """metrics of the labels that were asked for, or that occur; found: values in the prediction and in the reference;
    names: file -> labels that it names; warnings: of reading the files; predicted: label -> the quality that KAF
    predicted when it made the segmentation, where its report tells."""

    metrics: tuple[LabelMetrics, ...]
    found: tuple[frozenset[int], frozenset[int]]
    names: dict[str, tuple[Label, ...]]
    warnings: tuple[str, ...]
    predicted: dict[int, PredictedDice] = field(default_factory=dict)


def score(pair: Pair, settings: EvaluateSettings) -> Scored:
    """Compare a prediction with its reference.

    Raises:
        InputError: a file cannot be read, or their grids differ.
    """
    prediction, (reference, ignored) = read_labels(pair.prediction), pair.read_reference()
    require_same_grid(prediction, reference)
    if ignored is not None:
        prediction = replace(prediction, voxels=np.where(ignored, 0, prediction.voxels))
    names, warnings = {}, []
    for volume in (reference, prediction):
        names[str(volume.source)] = tuple(named_labels(Path(volume.source)).values())
        warnings += [f"{volume.source}: {warning}" for warning in volume.warnings]
    found = _values(prediction.voxels), _values(reference.voxels)
    own, given = names[str(reference.source)], dict(pair.names)
    names[str(reference.source)] = own or tuple(plain_label(v, given[v]) for v in sorted(found[0] | found[1])
                                                if v in given)
    values = sorted(settings.labels or found[0] | found[1])
    metrics = case_metrics(prediction.voxels, reference.voxels, reference.spacing[::-1], values, settings.tolerance)
    if pair.annotated is not None:
        metrics = [m if m.label in pair.annotated else not_contoured(m, always=True) for m in metrics]
    return Scored(tuple(metrics), found, names, tuple(warnings), predicted_beside(pair.prediction))


def _values(labels: np.ndarray) -> frozenset[int]:
    """The values of a uint8 label map without background; slice by slice, as bincount works on int64."""
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in labels)
    return frozenset(np.flatnonzero(counts).tolist()) - {0}


@dataclass(frozen=True)
class Kept:
    """The scored cases of an evaluation in ``folder``, a file each; those of changed files or settings are none."""

    folder: Path
    settings: EvaluateSettings

    def put(self, pair: Pair, scored: Scored) -> None:
        atomic_write(self._path(pair), json.dumps({
            "key": self._key(pair), "metrics": [asdict(m) for m in scored.metrics],
            "found": [sorted(values) for values in scored.found], "warnings": scored.warnings,
            "predicted": {label: asdict(one) for label, one in scored.predicted.items()},
            "names": {file: [asdict(label) for label in labels] for file, labels in scored.names.items()}}))

    def get(self, pair: Pair) -> Scored | None:
        """The case if it was scored already."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json_files.read(self._path(pair))
            if kept["key"] == self._key(pair):
                names = {file: tuple(Label(**{**label, "colour": tuple(label["colour"])}) for label in labels)
                         for file, labels in kept["names"].items()}
                first, second = (frozenset(values) for values in kept["found"])
                predicted = {int(label): PredictedDice(**one) for label, one in kept["predicted"].items()}
                return Scored(tuple(LabelMetrics(**m) for m in kept["metrics"]), (first, second), names,
                              tuple(kept["warnings"]), predicted)
        return None

    def _path(self, pair: Pair) -> Path:
        return self.folder / f"{pair.name}.json"

    def _key(self, pair: Pair) -> list[Any]:
        files = (pair.prediction, pair.reference)
        stamps = [list(quick_stamp(path).values()) for path in files]
        wanted = sorted(self.settings.labels.items())
        drawn = sorted(pair.annotated) if pair.annotated is not None else None
        return json.loads(json.dumps([__version__, stamps, wanted, self.settings.tolerance, pair.meaning, drawn]))
