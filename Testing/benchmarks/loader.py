"""How long the loader takes for a batch of KAF pretraining at the published size: 32 pairs of 352 x 352 pixels.

    .venv/bin/python Testing/benchmarks/loader.py ../shared/data/acdc

CPU seconds per batch on one thread, the first time (when the matches of slices are found) and again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2

from kaf.data.cache import SliceSettings, as_case, prepare_case
from kaf.data.folder import scan_folder
from kaf.data.views import UnlabelledSlices
from kaf.imaging.volume import read_volume
from kaf.settings.augmentation import AugmentationSettings
from kaf.settings.preparation import KeypointSettings, NormalisationSettings

_BATCH, _BATCHES, _SCANS = 32, 8, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    wanted = SliceSettings(1.25, "largest-spacing", NormalisationSettings(), KeypointSettings(limit=512), True)
    cases = [as_case(case.name, case.patient, *prepare_case(read_volume(case.image), None, wanted))
             for case in scan_folder(arguments.data).cases[:_SCANS]]
    changes = AugmentationSettings(rotation=180, scale=1.3, flips=(True, True), elastic=0.67, intensity=0)
    views = UnlabelledSlices(cases, (352, 352), 0, changes, 0, radius=30.0)
    for name in ("first time", "again"):
        begin = time.process_time()
        for step in range(_BATCHES):
            views.batch(step, _BATCH)
        print(f"{name}: {(time.process_time() - begin) / _BATCHES:.2f} s per batch")


if __name__ == "__main__":
    main()
