"""How long another finished slice takes: a synthetic heart of 23 slices of 256 x 256, three of them finished, warm.

    .venv/bin/python Testing/benchmarks/memory_speed.py --threads 2
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from kaf.imaging.volume import Volume
from kaf.phantom.heart import cardiac_phantom
from kaf.settings.propagate import PropagateSettings
from kaf.verbs.propagate import propagate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    scan, truth = cardiac_phantom(3, slices=23, size=256, spacing=1.37)
    finished = (4, 11, 18)
    drawn = np.where(np.isin(np.arange(23), finished)[:, None, None], truth.voxels, 0).astype(np.uint8)
    cache: dict = {}
    for use in ("memory", "combination", "auto"):
        settings = PropagateSettings(model="cardiac-mr-sax", device="cpu", threads=arguments.threads, slices=finished,
                                     use=use)
        wall, processor = [], []
        for _ in range(arguments.repeats + 1):  # the first one computes the features
            start, busy = time.monotonic(), time.process_time()
            result = propagate(scan, Volume(drawn, truth.affine), settings, cache=cache)
            wall.append(time.monotonic() - start)
            processor.append(time.process_time() - busy)
        megabytes = result.memory.features.bytes / 1e6 if result.memory else 0
        print(f"{use}: median {np.median(wall[1:]):.2f} s, fastest {min(wall[1:]):.2f} s, processor "
              f"{np.median(processor[1:]):.2f} s; features {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
