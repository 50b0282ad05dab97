"""Propagation: the unfinished slices of a scan from a few finished ones, at once and without training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kaf.imaging.labels import Label, plain_label
from kaf.imaging.volume import Volume, read_labels, scan_of
from kaf.inference.finished_slices import as_stored, keep_drawn
from kaf.inference.loaded_model import LoadedModel, load_for_inference
from kaf.memory.choice import Choice
from kaf.memory.completion import Completion, Prior, ScanMemory, complete, region_of, stride_of
from kaf.memory.earlier import EarlierReader, EarlierSlices, load_earlier, remember
from kaf.memory.features import ScanFeatures
from kaf.memory.model_choice import fitting_model, has_slice_features
from kaf.memory.review import review_order
from kaf.memory.task import Task, task_of
from kaf.memory.voxel_origins import voxel_origins
from kaf.modelfile.card import Card
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, ignore
from kaf.runtime.message_codes import CHOICE, CONTRADICTION
from kaf.settings.propagate import PropagateSettings


@dataclass(frozen=True)
class Propagation:
    """All slices of the scan labelled, on exactly its grid.

    labels: uint8, finished slices as drawn; confidence: float32 0..1, 1 in finished slices, or None; plane: of the
    slices; finished, review: slices as the scan is stored, from 0; review goes from the next slice to check to the
    last, and leaves out the finished ones; slices: stored number -> confidence 0..1, source, the finished slices that
    were read, whether it lies between or beyond these, distance in mm; volumes_ml: label value -> millilitres.
    """

    labels: Volume
    confidence: Volume | None
    structures: tuple[Label, ...]
    card: Card
    plane: str
    finished: tuple[int, ...]
    review: tuple[int, ...]
    slices: dict[int, dict[str, Any]]
    choice: Choice
    volumes_ml: dict[int, float]
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    place: str = ""
    memory: ScanMemory | None = None

    def provenance(self, voxel: tuple[int, int, int], most: int = 24) -> list[dict[str, Any]]:
        """Where the label of a voxel (i, j, k) of an unfinished slice was taken from, the strongest first: for each
        place the finished ``slice`` as stored, its ``voxel`` (i, j, k), its ``weight`` 0..1 and its ``label``."""
        assert self.memory is not None
        return voxel_origins(self.memory, [label.value for label in self.structures], voxel, most)

    def remember(self, day: str = "") -> EarlierSlices:
        """The finished slices as a memory for other scans: :func:`kaf.memory.earlier.save_earlier` writes it."""
        assert self.memory is not None
        stored = as_stored(self.memory.features.prepared.grid, self.memory.drawn.numbers)
        scan = Path(self.labels.source).name
        return remember(self.memory.features, self.memory.drawn, [label.name for label in self.structures], self.card,
                        [{"scan": scan, "slice": number, "day": day} for number in stored])

    def report(self) -> dict[str, Any]:
        """JSON-ready: what was chosen, how sure each slice is, what to check next."""
        names = {label.value: label.name for label in self.structures}
        return {
            "model": self.card.name, "model_digest": self.card.digest, "plane": self.plane,
            "finished": list(self.finished), "review": list(self.review),
            "next": self.review[0] if self.review else None, "choice": self.choice.to_dict(),
            "slices": {str(number): values for number, values in self.slices.items()},
            "volumes_ml": {names[value]: round(ml, 3) for value, ml in self.volumes_ml.items()},
            "warnings": list(self.warnings), "seconds": {name: round(s, 3) for name, s in self.seconds.items()},
            "place": self.place,
        }


def propagate(volume: Volume | str | Path, drawn: Volume | str | Path | None, settings: PropagateSettings,
              on_event: OnEvent = ignore, cache: dict[Any, Any] | None = None) -> Propagation:
    """Label the unfinished slices from the finished ones of ``drawn`` (labels on the grid of the volume).

    Nothing is trained.  Where the model knows a structure, its probabilities and the finished slices are joined.

    Args:
        drawn: None where nothing is finished yet and ``settings.memory`` knows the structures.
        cache: keeps the model and the features of the scan between calls, so that another finished slice costs a
            fraction of a second.

    Raises:
        InputError: no finished slice, none that holds a structure, labels on another grid, slices that the scan does
            not have, or a model that is not of slices.
    """
    begun = time.monotonic()
    volume = scan_of(volume, settings.frame, settings.series)
    if drawn is None:
        drawn = Volume(np.zeros(volume.shape, np.uint8), volume.affine)
    drawn = drawn if isinstance(drawn, Volume) else read_labels(drawn)
    _check_grid(volume, drawn)
    earlier = load_earlier(Path(settings.memory)) if settings.memory else None
    if earlier is not None:
        settings = _with_memory(settings, earlier, bool(drawn.voxels.any()))
    model = load_for_inference(settings, settings.model or fitting_model(volume, settings.labels), cache)
    _check_model(model, earlier)
    loaded = time.monotonic()
    task = task_of(volume, drawn, settings, model, cache)
    features = _features(volume, model, task, settings, cache)
    made = time.monotonic()
    priors: list[tuple[Prior, dict[int, int]]] = [(features, _same(task.values, model.card.label_names, settings))]
    if earlier is not None:
        if earlier.plane != task.scan.grid.plane:
            raise InputError(settings.memory, f"holds {earlier.plane} slices, and those of this scan are "
                             f"{task.scan.grid.plane}", f"Choose --axis {earlier.plane}, or another memory.")
        priors.insert(0, (EarlierReader(features, earlier), _same(task.values, earlier.names, settings)))
        priors = priors if drawn.voxels.any() else priors[:1]
    memory = ScanMemory(features, task.drawn, priors, settings.use)
    if cache is not None:
        cache["propagated"] = (memory, task.values)
    result = complete(memory, on_event)
    warnings = [*volume.warnings, *_contradictions(memory, task, on_event)]
    on_event(Message(memory.choice.text, code=CHOICE, data=memory.choice.to_dict()))
    seconds = {"load": loaded - begun, "features": made - loaded, "update": time.monotonic() - made}
    return _result(volume, drawn, settings, model, memory, task, result, warnings, seconds)


def _check_grid(volume: Volume, drawn: Volume) -> None:
    if drawn.voxels.shape != volume.shape or not np.allclose(drawn.affine, volume.affine, atol=1e-2):
        raise InputError(drawn.source or "labels", "do not lie on the grid of the scan",
                         "Export the segmentation with the scan as reference geometry, after hardening any transform.")


def _check_model(model: LoadedModel, earlier: EarlierSlices | None) -> None:
    if not has_slice_features(model.card):
        raise InputError(f"model {model.card.name}", "gives no features of slices that could be compared",
                         "Choose a 2-D model of KAF's own network: see `kaf models list`.")
    if earlier is not None and earlier.model[1] != model.card.digest:
        raise InputError("memory", f"was made with the features of {earlier.model[0]}, and not with those of this "
                         f"{model.card.name}", "Use the model that it was made with.")


def _with_memory(settings: PropagateSettings, earlier: EarlierSlices, drawn: bool) -> PropagateSettings:
    """The model, names and plane of the memory where the settings leave them open."""
    open_plane = settings.axis == "auto" and not (drawn or settings.slices)
    return settings.model_copy(update={
        "model": settings.model or earlier.model[0], "labels": settings.labels or earlier.names,
        "axis": earlier.plane if open_plane else settings.axis})


def _features(volume: Volume, model: LoadedModel, task: Task, settings: PropagateSettings,
              cache: dict[Any, Any] | None) -> ScanFeatures:
    """Those of before while the scan, the model and the region are the same."""
    key = ("memory",)
    scan, before = (None, None) if cache is None else cache.get(key, (None, None))
    if scan is not task.scan:
        before = None
    region = region_of(task.drawn, before.region if before is not None else None)
    if before is not None and before.region == region:
        return before
    stride = stride_of(task.scan.grid.n_slices, region)
    predictor = model.predictor(settings, source=volume.source)
    made = ScanFeatures(predictor, task.scan, region, stride)
    if cache is not None:
        cache[key] = task.scan, made
    return made


def _same(values: Sequence[int], names: Mapping[int, str], settings: PropagateSettings) -> dict[int, int]:
    """Drawn class -> class of a model or a memory (value -> name) that is the same structure by its value, or by its
    name."""
    by_name = {name.casefold(): value for value, name in names.items()}
    same = {}
    for index, value in enumerate(values, start=1):
        if value in settings.labels:
            known = by_name.get(settings.labels[value].casefold())
        else:
            known = value if value in names else None
        if known is not None:
            same[index] = known
    return same


def _contradictions(memory: ScanMemory, task: Task, on_event: OnEvent) -> list[str]:
    """Finished slices that the others do not expect, and clicks that lie in finished ones."""
    found = []
    for number, score in memory.outliers().items():
        stored = as_stored(task.scan.grid, [number])[0]
        text = (f"Finished slice {stored} disagrees with the finished slices on either side, which agree with each "
                f"other (Dice with the nearer one in shape: {score:.2f}): check how it is drawn.")
        on_event(Message(text, "warning", CONTRADICTION, {"slices": [stored], "dice": score}))
        found.append(text)
    if task.marks is not None and task.marks.ignored:
        count = len(task.marks.ignored)
        text = (f"{count} {'click lies' if count == 1 else 'clicks lie'} in a finished slice and "
                f"{'was' if count == 1 else 'were'} ignored: finished slices stay as drawn.")
        on_event(Message(text, "warning", CONTRADICTION, {"clicks": count}))
        found.append(text)
    return found


def _result(volume: Volume, drawn: Volume, settings: PropagateSettings, model: LoadedModel, memory: ScanMemory,
            task: Task, result: Completion, warnings: Sequence[str], seconds: Mapping[str, float]) -> Propagation:
    grid = task.scan.grid
    table = np.array((0, *task.values), np.uint8)
    labels = grid.place(table[result.labels])
    confidence = grid.place(result.confidence).astype(np.float32) / 255 if settings.confidence else None
    if task.marks is not None:
        labels[task.marks.known] = task.marks.labels[task.marks.known]
        if confidence is not None:
            confidence[task.marks.known] = 1
    labels = keep_drawn(labels, drawn.voxels, grid, task.drawn.numbers)
    structures = _structures(task.values, model.card, settings)
    slices = {}
    for number, score in result.slices.items():
        source = result.sources[number]
        slices[as_stored(grid, [number])[0]] = {
            **asdict(source), "finished": sorted(as_stored(grid, source.finished)), "confidence": score}
    areas = {number: float((result.labels[number] > 0).sum()) for number in result.slices}
    review = review_order(result.slices, memory.drawn.numbers, areas)
    counts = np.bincount(labels.reshape(-1), minlength=256)
    voxel = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return Propagation(
        Volume(labels, volume.affine, volume.source),
        None if confidence is None else Volume(confidence, volume.affine, volume.source), structures, model.card,
        grid.plane, tuple(sorted(as_stored(grid, memory.drawn.numbers))), tuple(as_stored(grid, review)),
        dict(sorted(slices.items())), memory.choice, {label.value: float(counts[label.value]) * voxel
                                                      for label in structures},
        tuple(warnings), dict(seconds), model.place.reason, memory)


def _structures(values: Sequence[int], card: Card, settings: PropagateSettings) -> tuple[Label, ...]:
    own = {label.value: label for label in card.labels}
    return tuple(own[value] if value in own and settings.labels.get(value, own[value].name) == own[value].name
                 else plain_label(value, settings.labels.get(value, "")) for value in values)
