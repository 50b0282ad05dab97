"""Slices of earlier patients: places of their finished slices with features and labels, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaf.memory.completion import Drawn
from kaf.memory.features import ScanFeatures, enlarged, pooled
from kaf.memory.header import FORMAT, KEY
from kaf.modelfile.card import Card
from kaf.modelfile.weights_file import load_weights, save_weights
from kaf.runtime import json_files
from kaf.runtime.errors import InputError, ModelError
from kaf.runtime.plain_text import one_line

_INSIDE, _NEAR, _AWAY = 96, 128, 128  # places of a slice that are kept: in each structure, close by, anywhere else
_CLOSE = 9  # places: how close is close by
_TEMPERATURE = 0.4
_SPREAD = 40.0  # mm: structures of two patients lie about so far apart in their scans
_QUERIES = 2048
_MOST = 20_000  # places that are read; more are thinned out evenly
_SHAPES = {"features": 2, "labels": 1, "places": 2, "slices": 1}


@dataclass(frozen=True)
class EarlierSlices:
    """Places (N) of finished slices of earlier scans.

    features: (N, C) float16, standardised by their own scan; labels: (N,) uint8, 0 for none of ``names``; places:
    (N, 2) float32, mm from the centre of the slice along rows and columns; slices: (N,) int32, index into ``sources``;
    names: label -> structure; sources: for each slice the scan, the slice as stored, and the day; model: name and
    SHA-256 of the model whose features these are; plane: of the slices.
    """

    features: Tensor
    labels: Tensor
    places: Tensor
    slices: Tensor
    names: dict[int, str]
    sources: tuple[dict[str, Any], ...]
    model: tuple[str, str]
    plane: str

    def joined(self, other: EarlierSlices) -> EarlierSlices:
        """Both, the structures matched by name; slices of a scan that is in both are the other's.

        Raises:
            InputError: they are of different models or planes.
        """
        if (self.model, self.plane) != (other.model, other.plane):
            raise InputError("memory", f"holds {self.plane} slices seen by {self.model[0]}, and the new ones are "
                             f"{other.plane}, seen by {other.model[0]}", "Save these to another file.")
        again = {(item["scan"], item["slice"]) for item in other.sources}
        keep = [index for index, item in enumerate(self.sources) if (item["scan"], item["slice"]) not in again]
        number = {old: new for new, old in enumerate(keep)}
        mine = torch.isin(self.slices, torch.tensor(keep, dtype=torch.int32))
        names = dict(self.names)
        known = {name.casefold(): value for value, name in names.items()}
        table = torch.zeros(256, dtype=torch.uint8)
        for value, name in other.names.items():
            if name.casefold() not in known:
                known[name.casefold()] = max(names, default=0) + 1
                names[known[name.casefold()]] = name
            table[value] = known[name.casefold()]
        if len(names) > 255:
            raise InputError("memory", "would hold more than 255 structures", "Save these to another file.")
        moved = torch.tensor([number[int(index)] for index in self.slices[mine]], dtype=torch.int32)
        return replace(
            self, features=torch.cat([self.features[mine], other.features]),
            labels=torch.cat([self.labels[mine], table[other.labels.long()]]),
            places=torch.cat([self.places[mine], other.places]),
            slices=torch.cat([moved, other.slices + len(keep)]), names=names,
            sources=(*(self.sources[index] for index in keep), *other.sources))


def remember(features: ScanFeatures, drawn: Drawn, names: Sequence[str], card: Card,
             sources: Sequence[Mapping[str, Any]], seed: int = 0) -> EarlierSlices:
    """Places of the finished slices of a scan: all kinds of them, a few of each.

    Args:
        names: of the classes 1, 2, ...
        sources: of each finished slice, what its record tells.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Tensor]] = {name: [] for name in _SHAPES}
    rows, columns = features.region.rows, features.region.columns
    grid, stride = features.prepared.grid, features.stride
    for order, (number, labels) in enumerate(zip(drawn.numbers, drawn.labels[:, rows, columns], strict=True)):
        parts = torch.cat(features.raw([number]), 1)[0]
        classes = torch.from_numpy(np.ascontiguousarray(labels))[None, None]
        shares = torch.cat([pooled((classes == value).float(), stride) for value in range(drawn.classes)], 1)[0]
        values = shares.max(0).indices
        near = F.max_pool2d((values > 0).float()[None, None], _CLOSE, 1, _CLOSE // 2)[0, 0] > 0
        groups = [(values == value, _INSIDE) for value in range(1, drawn.classes)]
        groups += [((values == 0) & near, _NEAR), ((values == 0) & ~near, _AWAY)]
        chosen = torch.cat([_some(mask, most, rng) for mask, most in groups])
        found["features"].append(parts[:, chosen[:, 0], chosen[:, 1]].T.half())
        found["labels"].append(values[chosen[:, 0], chosen[:, 1]].to(torch.uint8))
        found["places"].append(_millimetres(chosen, features))
        found["slices"].append(torch.full((len(chosen),), order, dtype=torch.int32))
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    return EarlierSlices(**joined, names=dict(enumerate(names, start=1)), sources=tuple(dict(item) for item in sources),
                         model=(card.name, card.digest), plane=grid.plane)


def _some(mask: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """At most so many of the places (row, column) of a mask."""
    places = mask.nonzero()
    return places if len(places) <= most else places[torch.from_numpy(rng.choice(len(places), most, replace=False))]


def _millimetres(places: Tensor, features: ScanFeatures) -> Tensor:
    """Places (N, 2) of the region as mm from the centre of the slice."""
    grid, stride = features.prepared.grid, features.stride
    start = torch.tensor([features.region.rows.start, features.region.columns.start])
    pixels = places.float() * stride + (stride - 1) / 2 + start
    return (pixels - (torch.tensor(grid.size) - 1) / 2) * torch.tensor(grid.spacing[1:], dtype=torch.float32)


class EarlierReader:
    """What earlier slices say about the slices of a scan: in place of a model's probabilities."""

    def __init__(self, features: ScanFeatures, earlier: EarlierSlices):
        self._features = features
        step = -(-len(earlier.labels) // _MOST)
        axes = features.projection.axes
        self._keys = _with_places(earlier.features[::step].float() @ axes, earlier.places[::step])
        self.classes = 1 + max(earlier.names, default=0)
        self._values = F.one_hot(earlier.labels[::step].long(), self.classes).float()
        height, width = (-(-size // features.stride) for size in features.region.size)
        grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), 2)
        self._size, self._places = (height, width), _millimetres(grid.reshape(-1, 2), features)

    def probabilities(self, slices: Sequence[int]) -> Tensor:
        """(n, classes, H, W) in the region."""
        found = [torch.zeros(0, self.classes, *self._size)]
        for number in slices:
            maps = self._features([number])[0].flatten(1).T
            queries = _with_places(maps, self._places)
            parts = [self._read(part) for part in queries.split(_QUERIES)]
            found.append(torch.cat(parts).T.reshape(1, self.classes, *self._size))
        return enlarged(torch.cat(found), self._features.stride, self._features.region.size)

    def _read(self, queries: Tensor) -> Tensor:
        """softmax(-|q - k|^2) over all keys; -|q|^2 is the same for all of them."""
        logits = torch.addmm(-self._keys.square().sum(1), queries, self._keys.T, alpha=2.0)
        return logits.softmax(1) @ self._values


def _with_places(features: Tensor, places: Tensor) -> Tensor:
    """Features and places so that a squared distance is that of both, each in its own unit."""
    return torch.cat([features / _TEMPERATURE ** 0.5, places / (2 ** 0.5 * _SPREAD)], 1)


def save_earlier(path: Path, earlier: EarlierSlices, overwrite: bool = True) -> None:
    """One safetensors file; its JSON header tells of which scans and slices it is."""
    words = {"format": FORMAT, "names": {str(value): name for value, name in earlier.names.items()},
             "sources": list(earlier.sources), "model": list(earlier.model), "plane": earlier.plane}
    tensors = {name: getattr(earlier, name) for name in _SHAPES}
    save_weights(path, tensors, {KEY: json.dumps(words)}, overwrite=overwrite)


def load_earlier(path: Path) -> EarlierSlices:
    """The file as it was saved.

    Raises:
        InputError: it is missing, damaged, or no memory of this format.
    """
    try:
        tensors, metadata = load_weights(path)
    except ModelError as error:
        raise InputError(path, error.reason, "Give a file that `kaf propagate --save-memory` wrote.") from error
    try:
        words = json_files.parse(metadata[KEY])
        if words["format"] != FORMAT:
            raise ValueError(f"format {words['format']}")
        names = {int(value): one_line(str(name)) for value, name in words["names"].items()}
        sources = tuple({"scan": str(item["scan"]), "slice": int(item["slice"]), "day": str(item.get("day", ""))}
                        for item in words["sources"])
        model, plane = (str(words["model"][0]), str(words["model"][1])), str(words["plane"])
        _check(tensors, names, sources)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise InputError(path, f"is not a keypoint memory that KAF can read ({one_line(error)[:120]})",
                         "Give a file that `kaf propagate --save-memory` wrote.") from error
    return EarlierSlices(tensors["features"], tensors["labels"], tensors["places"], tensors["slices"], names, sources,
                         model, plane)


def _check(tensors: Mapping[str, Tensor], names: Mapping[int, str], sources: Sequence[Any]) -> None:
    if set(tensors) != set(_SHAPES) or any(tensors[name].ndim != count for name, count in _SHAPES.items()):
        raise ValueError("other tensors")
    kinds = {"features": torch.float16, "labels": torch.uint8, "places": torch.float32, "slices": torch.int32}
    if any(tensors[name].dtype != kind for name, kind in kinds.items()):
        raise ValueError("tensors of other types")
    count = len(tensors["labels"])
    if not count or any(len(tensor) != count for tensor in tensors.values()) or tensors["places"].shape[1] != 2:
        raise ValueError("tensors of different lengths")
    if not (bool(torch.isfinite(tensors["features"]).all()) and bool(torch.isfinite(tensors["places"]).all())):
        raise ValueError("values that are not finite")
    if int(tensors["labels"].max()) > max(names, default=0) or not all(1 <= value <= 255 for value in names):
        raise ValueError("labels without a name")
    if not 0 <= int(tensors["slices"].min()) <= int(tensors["slices"].max()) < len(sources):
        raise ValueError("slices without a source")
