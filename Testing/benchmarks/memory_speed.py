"""How long another finished slice takes: a synthetic heart of 23 slices of 256 x 256, two of them finished, and warm.

    .venv/bin/python Testing/benchmarks/memory_speed.py --threads 2

Each measured update adds a third finished slice, so that nothing of it can be known from before.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from kaf.imaging.volume import Volume
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate

BEFORE, AFTER = (7, 15), (7, 11, 15)  # of the slices 5 to 17, in which the heart is


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    scan, truth = cardiac_phantom(3, slices=23, size=256, spacing=1.37)

    def update(finished: tuple[int, ...], use: str):
        drawn = np.where(np.isin(np.arange(23), finished)[:, None, None], truth.voxels, 0).astype(np.uint8)
        settings = PropagateSettings(model="cardiac-mr-sax", device="cpu", threads=arguments.threads, slices=finished,
                                     use=use)
        return propagate(scan, Volume(drawn, truth.affine), settings, cache=cache)

    cache: dict = {}
    update(BEFORE, "auto")  # computes the features
    for use in ("memory", "combination", "auto"):
        wall, processor = [], []
        for _ in range(arguments.repeats):
            update(BEFORE, use)
            start, busy = time.monotonic(), time.process_time()
            result = update(AFTER, use)
            wall.append(time.monotonic() - start)
            processor.append(time.process_time() - busy)
        megabytes = result.memory.features.bytes / 1e6 if result.memory else 0
        print(f"{use}: median {np.median(wall):.2f} s, fastest {min(wall):.2f} s, processor "
              f"{np.median(processor):.2f} s, least {min(processor):.2f} s; features {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
