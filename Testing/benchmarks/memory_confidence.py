"""Does a confidence of .9 mean a Dice of .9?  The constants of `kaf.memory.review.confidence`, and how well they hold.

    .venv/bin/python Testing/benchmarks/memory_confidence.py --cases 5

Slices of the volumes for tuning (every second one of each set of memory.py, from the 2nd) are read with 1, 2, 3 and 5
finished ones. For each set the constants are found on the other sets alone and tried on its other volumes; the last
line is those of all sets.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from memory import SETS, Set, finished_of
from scipy.optimize import minimize

from kaf.evaluation.dice import dice, overlap
from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.inference.finished_slices import as_stored
from kaf.memory.completion import ScanMemory
from kaf.memory.review import expected_dice
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate

_BATCH = 8


@dataclass(frozen=True)
class Read:
    """A slice that was read: what it expected, its source's trust, places beyond the finished slices, and its Dice."""

    expected: float
    trust: float
    beyond: float
    dice: float


def read_case(entry: Set, scan: Path, labels: Path, counts: list[int], threads: int) -> list[Read]:
    volume, truth = read_volume(scan), read_labels(labels)
    if not truth.voxels.any():
        return []
    grid = canonical_grid(volume.shape, volume.affine, None, entry.plane)
    view, cache, found = grid.view(truth.voxels), {}, []
    for count in counts:
        finished = finished_of(view, count)
        rest = [number for number in range(len(view)) if number not in finished]
        drawn = np.zeros_like(truth.voxels)
        grid.view(drawn)[finished] = view[finished]
        settings = PropagateSettings(model=entry.model, slices=tuple(as_stored(grid, finished)), axis=grid.plane,
                                     labels=entry.labels, threads=threads, device="cpu", confidence=False)
        result = propagate(volume, Volume(drawn, volume.affine), settings, cache=cache)
        assert result.memory is not None
        made = grid.view(result.labels.voxels)
        for start in range(0, len(rest), _BATCH):
            part = rest[start:start + _BATCH]
            soft = result.memory.read(part)
            for number, value in zip(part, expected_dice(soft, soft.max(1).indices), strict=True):
                found.append(Read(value, *_trust(result.memory, number), _dice(made[number], view[number])))
    return found


def _trust(memory: ScanMemory, number: int) -> tuple[float, float]:
    """As :meth:`ScanMemory.confidence_of` takes them."""
    if memory.choice.source == "model":
        return memory.trust.model, 0.0
    if memory.finished.is_between(number):
        return memory.trust.between, 0.0
    return memory.trust.beyond, memory.finished.distance(number)


def _dice(made: np.ndarray, truth: np.ndarray) -> float:
    """Over the structures in either; 1 where there is none, as it should be."""
    values = np.union1d(made, truth)
    values = values[values > 0]
    return float(dice(*overlap(made, truth, int(values.max()) + 1))[values - 1].mean()) if len(values) else 1.0


def columns(slices: list[Read]) -> np.ndarray:
    """(n, 4): a constant, the log-odds of what was expected and of the trust, and the distance beyond."""
    def logit(values: list[float]) -> np.ndarray:
        shares = np.clip(values, 0.02, 0.98)
        return np.log(shares / (1 - shares))

    return np.stack([np.ones(len(slices)), logit([item.expected for item in slices]),
                     logit([item.trust for item in slices]),
                     -np.log1p(np.array([item.beyond for item in slices]) / 10)], 1)


def fitted(sets: list[list[Read]]) -> np.ndarray:
    """The four constants with the least squared error; every set counts the same."""
    inputs, wanted = np.concatenate([columns(part) for part in sets]), [item.dice for part in sets for item in part]
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in sets])

    def loss(constants: np.ndarray) -> float:
        return float((weights * (predicted(inputs, constants) - wanted) ** 2).sum() + 1e-3 * (constants ** 2).sum())

    return minimize(loss, np.zeros(4), method="BFGS").x


def predicted(inputs: np.ndarray, constants: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-inputs @ constants))


def calibration_error(confidence: np.ndarray, truth: np.ndarray) -> float:
    """Mean difference of confidence and Dice over ten bins of confidence."""
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    return float(sum((bins == place).mean() * abs(confidence[bins == place].mean() - truth[bins == place].mean())
                     for place in np.unique(bins)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--cases", type=int, default=5, help="volumes per set, for tuning and for trying")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="words in the names of sets")
    parser.add_argument("--finished", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    found: dict[str, tuple[list[Read], list[Read]]] = {}
    for name, entry in SETS.items():
        if not any(word in name for word in arguments.sets):
            continue
        halves: list[list[Read]] = []
        for start in (1, 0):
            cases = entry.cases(arguments.data)[start::2]
            picked = sorted(set(np.linspace(0, len(cases) - 1, min(arguments.cases, len(cases))).round().astype(int)))
            halves.append([item for index in picked
                           for item in read_case(entry, *cases[index], arguments.finished, arguments.threads)])
        found[name] = halves[0], halves[1]
        print(name, [len(half) for half in halves], flush=True)
    print("| set | slices | Dice | read-out's own | error | confidence | error |\n" + "|---" * 7 + "|")
    for name, (_, tried) in found.items():
        constants = fitted([tuned for other, (tuned, _) in found.items() if other != name])
        right, own = np.array([item.dice for item in tried]), np.array([item.expected for item in tried])
        made = predicted(columns(tried), constants)
        print(f"| {name} | {len(tried)} | {right.mean():.2f} | {own.mean():.2f} | {calibration_error(own, right):.2f} "
              f"| {made.mean():.2f} | {calibration_error(made, right):.2f} |")
    print("constants", np.round(fitted([tuned for tuned, _ in found.values()]), 3).tolist())


if __name__ == "__main__":
    main()
