"""How many keypoints of neighbouring slices match, and how many would with shuffled descriptors, by radius and ratio.

    .venv/bin/python Testing/benchmarks/matches_by_chance.py ../shared/data/acdc --spacing 2 --limit 128

Of every 13th scan, without the patients of fold 0, which are for testing.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from kaf.data.folder import scan_folder
from kaf.data.splits import k_folds
from kaf.imaging.keypoints import Keypoints, by_chance, match
from kaf.imaging.prepare import prepare
from kaf.imaging.volume import read_volume
from kaf.settings.preparation import KeypointSettings, NormalisationSettings


def pairs_of(folder: Path, spacing: float, limit: int) -> list[tuple[Keypoints, Keypoints]]:
    """Keypoints of neighbouring slices."""
    cases = scan_folder(folder).cases
    test = set(k_folds({case.patient for case in cases}, 5, 0)[0][1])
    found = []
    for case in [case for case in cases if case.patient not in test][::13]:
        points = prepare(read_volume(case.image), spacing, "largest-spacing", NormalisationSettings(),
                         KeypointSettings(limit=limit), describe=True).keypoints
        found += [(a, b) for a, b in itertools.pairwise(points) if a.response.any() and b.response.any()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--spacing", type=float, default=2.0, help="mm")
    parser.add_argument("--limit", type=int, default=128, help="keypoints per slice")
    arguments = parser.parse_args()
    pairs = pairs_of(arguments.data, arguments.spacing, arguments.limit)
    print(f"{len(pairs)} pairs of slices")
    for radius in (60.0, 37.5, 20.0, 10.0, 5.0):
        for ratio in (1.0, 0.9, 0.8):
            pixels, rng = radius / arguments.spacing, np.random.default_rng(0)
            found = np.mean([len(match(a, b, pixels, ratio)) for a, b in pairs])
            chance = np.mean([by_chance(a, b, pixels, ratio, rng) for a, b in pairs])
            print(f"{radius:5.1f} mm, ratio {ratio}: {found:5.1f} matches, {chance:5.1f} by chance, "
                  f"{1 - chance / found:.2f} above chance")


if __name__ == "__main__":
    main()
