"""Opens the panel on the test host with a scan loaded; where there is no display, writes a picture of it.

    .venv/bin/python Testing/panels/show_panel.py [--input scan.nii.gz] [--model NAME] [--output FOLDER]

This is not Slicer: the views and the MRML scene are Slicer's, the widgets are stand-ins (Testing/host/README.md).
"""

import argparse
import ctypes.util
import os
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]


def without_display(environment=os.environ, system=sys.platform, find_library=ctypes.util.find_library) -> str:
    """Why no window can be opened; empty if one can."""
    if environment.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return "Qt was asked to draw off screen"
    if not system.startswith("linux") or environment.get("WAYLAND_DISPLAY"):
        return ""
    if not environment.get("DISPLAY"):
        return "there is no display"
    if not find_library("xcb-cursor"):
        return "Qt needs a system library for windows (apt-get install libxcb-cursor0)"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="a scan; a synthetic heart unless given")
    parser.add_argument("--model", default="cardiac-mr-sax")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where the picture goes")
    arguments = parser.parse_args()
    if arguments.input and not arguments.input.exists():
        raise SystemExit(f"{arguments.input} does not exist")
    reason = without_display()

    import host

    app = host.start(offscreen=bool(reason))
    module = open_panel(arguments.input, arguments.model)
    window = host.main_window(module)
    if reason:
        path = host.screenshot(window, arguments.output / "panel.png")
        print(f"{reason[0].upper()}{reason[1:]}, so the panel was drawn into a picture: {path}")
    else:
        print("Close the window to end. This is a test host, not Slicer: its widgets are stand-ins.")
        app.exec()
    module.unload()


def open_panel(scan: Path | None, model: str):
    """The module, with the scan and the model chosen."""
    import slicer
    from segmentation_panel import MODULE, ReadySetup, add_scan

    import host
    from kaf.phantom.heart import cardiac_phantom

    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = ReadySetup
    if scan is None:
        node = add_scan(cardiac_phantom(0)[0])
    else:
        node = slicer.util.loadVolume(str(scan.resolve()))
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    parameters = module.widget.logic.getParameterNode()
    parameters.inputVolume, parameters.modelName = node, model
    module.show()
    return module


if __name__ == "__main__":
    main()
