"""From a click in a slice to the picture of where that keypoint looks: the panel on the test host, a 512 x 512 scan, a
warm worker. Three points in time are reported: the worker has answered and the map and the points are in the scene; the
slice that was clicked is drawn; all views are drawn (the host draws with Mesa on the CPU, three slices and 3D).

    .venv/bin/python Testing/benchmarks/click_to_picture.py [--window] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import time
from pathlib import Path

import numpy as np

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]

import host  # noqa: E402

host.start(viewSize=(512, 512))

import slicer  # noqa: E402
from segmentation_panel import MODULE, ReadySetup, add_scan, settle  # noqa: E402

from kaf.phantom.heart import cardiac_phantom  # noqa: E402

PARTS = ("in the scene", "clicked slice drawn", "all views drawn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=25)
    parser.add_argument("--model", default="cardiac-mr-sax")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--window", action="store_true", help="with the main window shown, as a person has it")
    parser.add_argument("--profile", action="store_true", help="what this process spends its time on")
    arguments = parser.parse_args()
    module, points = prepare(arguments)
    ask(module, points[0])  # the worker reads the scan and finds its keypoints
    profile = cProfile.Profile()
    if arguments.profile:
        profile.enable()
    times = np.array([ask(module, point) for point in points[1:]]) * 1000
    profile.disable()
    print(f"{len(times)} clicks, {arguments.size} x {arguments.size} x {arguments.slices}, {arguments.model}, "
          f"{'with' if arguments.window else 'without'} the main window")
    for name, column in zip(PARTS, times.T, strict=True):
        print(f"{name:22} median {statistics.median(column):6.0f} ms, "
              f"from {column.min():.0f} to {column.max():.0f} ms")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    module.unload()


def prepare(arguments):
    """The panel, waiting for clicks, and where to click: points of the red slice, inside the body."""
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = ReadySetup
    module.show()
    scan = cardiac_phantom(0, slices=arguments.slices, size=arguments.size, spacing=1.5 * 256 / arguments.size)[0]
    add_scan(scan)
    host.choose(module.ui.inputSelector, "Heart")
    host.choose(module.ui.modelComboBox, arguments.model)
    if arguments.window:
        host.main_window(module)
    module.ui.attentionSection.collapsed = False
    host.pump()
    host.choose(module.ui.viewComboBox, "Where a keypoint looks")
    settle(module)
    red = slicer.app.layoutManager().sliceWidget("Red")
    offset = red.sliceLogic().GetSliceOffset()
    random = np.random.default_rng(0)
    middle = np.array(scan.affine @ [arguments.size / 2, arguments.size / 2, 0, 1])[:2]
    reach = arguments.size / 5 * np.linalg.norm(scan.affine[:3, 0])
    spots = middle + random.uniform(-reach, reach, (arguments.clicks + 1, 2))
    return module, [np.array([*spot, offset]) for spot in spots]


def ask(module, point):
    """Clicks and waits; seconds until each of PARTS."""
    settle(module)
    manager = slicer.app.layoutManager()
    red = manager.sliceWidget("Red")
    part = module.widget.segmentation.attention
    shown = part._answer
    start = time.perf_counter()
    host.click_view(red, point)
    while part._answer is shown or part._ticket is not None:
        slicer.app.processEvents()
        if time.perf_counter() - start > host.PATIENCE:
            raise RuntimeError("the worker does not answer")
    times = [time.perf_counter() - start]
    if slicer.util.mainWindow().visible:
        red.sliceView().repaint()
    else:
        red.sliceView().forceRender()
    times.append(time.perf_counter() - start)
    slicer.app.processEvents()
    return [*times, time.perf_counter() - start]


if __name__ == "__main__":
    main()
