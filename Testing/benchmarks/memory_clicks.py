"""Clicks until a slice is right: simulated ones, with the memory of three finished slices and without it.

    .venv/bin/python Testing/benchmarks/memory_clicks.py --cases 3 --table clicks.md

A click lies at the deepest place of the largest connected error of a slice and tells the label of the reference there.
Each slice that is not yet at the wanted Dice gets one in every round. The finished slices, the sets and the volumes are
those of memory.py. "Without" starts from the model where it knows a structure, and from nothing elsewhere.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from memory import SETS, Set, finished_of, score
from scipy.ndimage import distance_transform_edt, label

from kaf.imaging.grid import Grid, canonical_grid
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.inference.finished_slices import as_stored
from kaf.settings.propagate import PropagateSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.propagate import propagate
from kaf.verbs.segment import segment


def click_of(made: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """Row, column and label of the next click in a slice."""
    largest, place = 0, (0, 0)
    for value in np.unique(truth[made != truth]):
        parts, count = label((made != truth) & (truth == value))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        if sizes.max() > largest:
            largest = int(sizes.max())
            depth = distance_transform_edt(np.pad(parts == 1 + int(sizes.argmax()), 1))[1:-1, 1:-1]
            place = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(place[0]), int(place[1]), int(truth[place])


def rounds(entry: Set, volume: Volume, truth: Volume, grid: Grid, finished: list[int], targets: list[int],
           goal: float, most: int, threads: int) -> dict[int, int]:
    """Slice -> clicks that it took; most + 1 where these were not enough."""
    view, drawn = grid.view(truth.voxels), np.zeros_like(truth.voxels)
    grid.view(drawn)[finished] = view[finished]
    clicks: list[tuple[float, float, float, int]] = []
    taken: dict[int, int] = {}
    cache: dict = {}
    for number in range(most + 1):
        if finished or clicks:
            settings = PropagateSettings(
                model=entry.model, slices=tuple(as_stored(grid, finished)), axis=grid.plane, labels=entry.labels,
                clicks=tuple(clicks), click_radius=_radius(grid), threads=threads, device="cpu", confidence=False)
            given = Volume(drawn, volume.affine) if finished else None
            made = grid.view(propagate(volume, given, settings, cache=cache).labels.voxels)
        else:
            made = _start(entry, volume, grid, threads)
        left = [target for target in targets if target not in taken]
        for target in left:
            if score(made[target], view[target]) >= goal:
                taken[target] = number
            elif number < most:
                row, column, value = click_of(made[target], view[target])
                clicks.append((*_ras(grid, target, row, column), value))
        if len(taken) == len(targets):
            break
    return {target: taken.get(target, most + 1) for target in targets}


def _start(entry: Set, volume: Volume, grid: Grid, threads: int) -> np.ndarray:
    """What there is before the first click: the model's result where it knows the structures, or nothing."""
    result = segment(volume, SegmentSettings(model=entry.model, threads=threads, device="cpu"))
    names = {value: name.casefold() for value, name in result.card.label_names.items()}
    made = np.zeros(volume.shape, np.uint8)
    for value, name in entry.labels.items():
        for own, known in names.items():
            if known == name.casefold():
                made[result.labels.voxels == own] = value
    return grid.view(made)


def _radius(grid: Grid) -> float:
    """Three pixels: what a person may call one place."""
    return 3 * float(min(grid.spacing[1:]))


def _ras(grid: Grid, number: int, row: int, column: int) -> tuple[float, float, float]:
    voxel = grid.points_to_input(np.array([[number, row, column]]))[0]
    right, anterior, superior = (grid.affine @ [*voxel, 1.0])[:3].tolist()
    return right, anterior, superior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="words in the names of sets")
    parser.add_argument("--finished", type=int, default=3)
    parser.add_argument("--goal", type=float, default=0.9)
    parser.add_argument("--most", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    lines = ["| set | slices | clicks without memory | reached | clicks with memory | reached |",
             "|---|---|---|---|---|---|"]
    for name, entry in SETS.items():
        if not any(word in name for word in arguments.sets):
            continue
        cases = entry.cases(arguments.data)[::2]
        picked = sorted(set(np.linspace(0, len(cases) - 1, min(arguments.cases, len(cases))).round().astype(int)))
        found = defaultdict(list)
        for index in picked:
            volume, truth = read_volume(cases[index][0]), read_labels(cases[index][1])
            grid = canonical_grid(volume.shape, volume.affine, None, entry.plane)
            view = grid.view(truth.voxels)
            finished = finished_of(view, arguments.finished)
            targets = [n for n in range(len(view)) if n not in finished and view[n].any()]
            for arm, given in (("without", []), ("with", finished)):
                taken = rounds(entry, volume, truth, grid, given, targets, arguments.goal, arguments.most,
                               arguments.threads)
                found[arm] += list(taken.values())
            means = {arm: round(float(np.mean(values)), 2) for arm, values in found.items()}
            print(name, cases[index][0].name, means, flush=True)
        cells = [f"{np.minimum(found[arm], arguments.most).mean():.1f} | "
                 f"{np.mean(np.array(found[arm]) <= arguments.most):.0%}" for arm in ("without", "with")]
        lines.append(f"| {name} | {len(found['with'])} | {cells[0]} | {cells[1]} |")
    print("\n".join(lines))
    if arguments.table:
        arguments.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
