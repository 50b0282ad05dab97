"""What a few finished slices are worth: keypoint memory, model, and interpolation, on sets that nothing was trained on.

    .venv/bin/python -m pip install itk-morphologicalcontourinterpolation    # only for the arm "ITK"
    .venv/bin/python Testing/benchmarks/memory.py --cases 12 --json memory.json --table memory.md

The finished slices are the middles of n equal parts of the slices that hold a structure; they are taken from the
reference segmentation. Dice is measured on the voxels of the scan, over the structures of a volume, on its unfinished
slices: between the finished ones, beyond them, and all. The features are those of a model that was not trained on the
set. Every second volume of a set (the 2nd, 4th, ... by name) is for tuning, `--tuning`; the table is of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from kaf.evaluation.dice import dice, overlap
from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.inference.finished_slices import as_stored
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate

PLACES = ("between", "beyond", "all")
LEARNED = ("model", "memory", "combination", "auto")
NAMES = {"nearest": "nearest slice", "distance": "signed distance", "ITK": "ITK contour interpolation",
         "model": "model", "memory": "memory", "combination": "both", "auto": "chosen"}


@dataclass(frozen=True)
class Set:
    """A set of volumes: where they are, the model whose features are compared, the plane, names of what it knows."""

    folder: str
    model: str
    plane: str = "largest-spacing"
    labels: dict[int, str] = field(default_factory=dict)

    def cases(self, data: Path) -> list[tuple[Path, Path]]:
        """Scans and their label maps, by name."""
        folder = data / self.folder
        if (folder / "images").is_dir():
            return [(path, folder / "labels" / path.name) for path in sorted((folder / "images").glob("*.nii.gz"))]
        scans = [path for path in sorted((folder / "volumes").glob("*.nii.gz")) if "_gt" not in path.name]
        return [(path, path.with_name(path.name.replace(".nii.gz", "_gt.nii.gz"))) for path in scans]


CAVITY, MYOCARDIUM = "left ventricular cavity", "left ventricular myocardium"
SETS = {
    "cine hearts, another centre": Set("sunnybrook_lv", "cardiac-mr-sax", labels={1: CAVITY}),
    "LGE hearts": Set("emidec_lge", "cardiac-mr-sax", labels={1: CAVITY, 2: MYOCARDIUM, 3: "infarct", 4: "no-reflow"}),
    "hippocampi, heart features": Set("msd_hippocampus", "cardiac-mr-sax", "sagittal",
                                      {1: "anterior part", 2: "posterior part"}),
    "cine hearts, hippocampus features": Set("acdc", "hippocampus-mr", labels={1: "right", 2: "wall", 3: "left"}),
    "head-and-neck CT, heart features": Set("openkbp_ct", "cardiac-mr-sax", "axial",
                                            {value: f"structure {value}" for value in range(1, 8)}),
}


def finished_of(view: np.ndarray, count: int) -> list[int]:
    """The middles of ``count`` equal parts of the slices that hold a structure."""
    held = np.flatnonzero(view.any(axis=(1, 2)))
    places = (np.arange(count) + 0.5) / count
    return sorted({round(float(held[0] + place * (held[-1] - held[0]))) for place in places})


def nearest(view: np.ndarray, finished: list[int], targets: list[int]) -> np.ndarray:
    """Each target as the nearest finished slice; the lower one of two."""
    return np.stack([view[min(finished, key=lambda other: abs(other - target))] for target in targets])


def signed_distance(view: np.ndarray, finished: list[int], targets: list[int]) -> np.ndarray:
    """Signed distances of each structure interpolated between the neighbours; nothing beyond the outermost."""
    values = [int(value) for value in np.unique(view[finished]) if value]
    maps = {number: np.stack([_signed(view[number] == value) for value in values]) for number in finished}
    result = np.zeros((len(targets), *view.shape[1:]), np.uint8)
    for row, target in enumerate(targets):
        below = [number for number in finished if number < target][-1:]
        above = [number for number in finished if number > target][:1]
        if not (below and above):
            continue
        share = (target - below[0]) / (above[0] - below[0])
        mixed = (1 - share) * maps[below[0]] + share * maps[above[0]]
        result[row] = np.where(mixed.max(0) > 0, np.array(values)[mixed.argmax(0)], 0)
    return result


def _signed(mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        return np.full(mask.shape, -20.0)
    return np.clip(np.where(mask, distance_transform_edt(mask) - 0.5, 0.5 - distance_transform_edt(~mask)), -20, 20)


def itk_interpolation(view: np.ndarray, finished: list[int], targets: list[int]) -> np.ndarray:
    """ITK's morphological contour interpolation, as in Slicer's *Fill between slices*."""
    import itk

    sparse = np.zeros_like(view)
    sparse[finished] = view[finished]
    filled = itk.MorphologicalContourInterpolator.New(itk.image_from_array(np.ascontiguousarray(sparse)))
    filled.SetAxis(2)
    filled.Update()
    return itk.array_from_image(filled.GetOutput())[targets]


def interpolations() -> dict[str, Callable[[np.ndarray, list[int], list[int]], np.ndarray]]:
    """The arms that look at labels only; ITK's where it is installed."""
    arms = {"nearest": nearest, "distance": signed_distance}
    try:
        import itk  # noqa: F401
    except ModuleNotFoundError:
        return arms
    return {**arms, "ITK": itk_interpolation}


def score(made: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice over the structures of the reference; NaN where it has none."""
    values = np.unique(truth)
    values = values[values > 0]
    if not len(values):
        return float("nan")
    return float(dice(*overlap(made, truth, 1 + int(max(made.max(), truth.max()))))[values - 1].mean())


def run_case(entry: Set, scan: Path, labels: Path, counts: list[int], threads: int) -> list[dict]:
    volume, truth = read_volume(scan), read_labels(labels)
    if not truth.voxels.any():
        return []
    grid = canonical_grid(volume.shape, volume.affine, None, entry.plane)
    view, cache, rows = grid.view(truth.voxels), {}, []
    for count in counts:
        finished = finished_of(view, count)
        rest = [number for number in range(len(view)) if number not in finished]
        between = [number for number in rest if finished[0] < number < finished[-1]]
        drawn = np.zeros_like(truth.voxels)
        grid.view(drawn)[finished] = view[finished]
        made = {name: arm(view, finished, rest) for name, arm in interpolations().items()}
        seconds = {}
        for use in LEARNED:
            result, seconds[use] = _propagated(entry, volume, drawn, grid, finished, use, threads, cache)
            if use == "model" and result.choice.reason == "unknown":
                continue
            made[use] = grid.view(result.labels.voxels)[rest]
            chosen = result.choice.source
        for name, found in made.items():
            for place, slices in (("between", between), ("beyond", sorted({*rest} - {*between})), ("all", rest)):
                rows.append({"case": scan.name.split(".")[0], "finished": count, "arm": name, "place": place,
                             "dice": score(found[[rest.index(number) for number in slices]], view[slices])
                             if slices else float("nan"), "seconds": seconds.get(name, 0.0),
                             "source": chosen if name == "auto" else name})
    return rows


def _propagated(entry: Set, volume: Volume, drawn: np.ndarray, grid: Grid, finished: list[int], use: str, threads: int,
                cache: dict):
    start = time.monotonic()
    settings = PropagateSettings(model=entry.model, slices=tuple(as_stored(grid, finished)), axis=grid.plane,
                                 labels=entry.labels, use=use, threads=threads, device="cpu", confidence=False)
    result = propagate(volume, Volume(drawn, volume.affine), settings, cache=cache)
    return result, time.monotonic() - start


def mean_table(rows: list[dict]) -> dict:
    """Set -> finished -> place -> arm -> mean Dice, over the volumes in which every arm has one."""
    found = defaultdict(list)
    for row in rows:
        if not np.isnan(row["dice"]):
            found[row["set"], row["finished"], row["place"], row["arm"]].append(row["dice"])
    table: dict = {}
    for (name, count, place, arm), values in found.items():
        table.setdefault(name, {}).setdefault(count, {}).setdefault(place, {})[arm] = {
            "dice": float(np.mean(values)), "volumes": len(values)}
    return table


def markdown(table: dict) -> str:
    """The means as a table."""
    head = "| ".join(["", "set, finished slices ", "where ", "n ", *(f"{name} " for name in NAMES.values())])
    lines = [f"{head}|", "|---" * (3 + len(NAMES)) + "|"]
    for name, counts in table.items():
        for count, places in counts.items():
            for place in PLACES:
                arms = places.get(place)
                if arms:
                    best = max(values["dice"] for values in arms.values())
                    cells = [_cell(arms.get(arm), best) for arm in NAMES]
                    volumes = max(values["volumes"] for values in arms.values())
                    lines.append(f"| {name}, {count} | {place} | {volumes} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: dict | None, best: float) -> str:
    if values is None:
        return ""
    text = f"{values['dice']:.3f}".lstrip("0")
    return f"**{text}**" if values["dice"] > best - 5e-4 else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--cases", type=int, default=12, help="volumes per set, spread over it")
    parser.add_argument("--finished", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="words in the names of sets")
    parser.add_argument("--tuning", action="store_true", help="the volumes for tuning instead")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name, entry in SETS.items():
        if not any(word in name for word in arguments.sets):
            continue
        cases = entry.cases(arguments.data)[1 if arguments.tuning else 0::2]
        picked = sorted(set(np.linspace(0, len(cases) - 1, min(arguments.cases, len(cases))).round().astype(int)))
        for index in picked:
            found = run_case(entry, *cases[index], arguments.finished, arguments.threads)
            rows += [{"set": name, **row} for row in found]
            told = {row["arm"]: round(row["dice"], 3) for row in found
                    if row["place"] == "all" and row["finished"] == arguments.finished[-1]}
            print(name, cases[index][0].name, told, flush=True)
    table = mean_table(rows)
    print(markdown(table))
    if arguments.json:
        arguments.json.write_text(json.dumps({"table": table, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    if arguments.table:
        arguments.table.write_text(markdown(table), encoding="utf-8")


if __name__ == "__main__":
    main()
