"""Draws both panels in their states, for eyes to judge: narrow or wide, light or dark, at any scaling.

    .venv/bin/python Testing/panels/draw_states.py --output screenshots/dark --dark [--width 380] [--scale 2]

No run is started but a segmentation with the shipped heart model, so that it takes less than a minute.
"""

import argparse
import os
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING / "helpers"),
                str(TESTING.parent / "KAFSegmentation")]
# Window, Base, AlternateBase, Button, Text and so on, as Slicer's own dark style has them.
DARK = {"Window": "#333333", "Base": "#262626", "AlternateBase": "#2d2d2d", "Button": "#3c3c3c",
        "ToolTipBase": "#262626",
        "Text": "#e6e6e6", "WindowText": "#e6e6e6", "ButtonText": "#e6e6e6", "ToolTipText": "#e6e6e6",
        "PlaceholderText": "#8c8c8c", "BrightText": "#ff5555", "Highlight": "#3a6ea5", "HighlightedText": "#ffffff",
        "Link": "#7ab8f5"}
FADED = "#7a7a7a"  # texts of what is disabled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--width", type=int, default=480, help="of the panel in logical pixels")
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--scale", type=float, default=1.0, help="of the display, 2 for 200 %%")
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)

    import host

    app = host.start()
    if options.dark:
        app.setPalette(dark_palette())

    def take(module, name):
        module.show(options.width, options.height)
        host.pump(60)
        print(host.screenshot(module, options.output / f"{name}.png"), flush=True)

    segmentation(take)
    pretraining(take)


def dark_palette():
    from PySide6.QtGui import QColor, QPalette

    palette = QPalette()
    for role, color in DARK.items():
        palette.setColor(getattr(QPalette, role), QColor(color))
    for role in ("Text", "WindowText", "ButtonText"):
        palette.setColor(QPalette.Disabled, getattr(QPalette, role), QColor(FADED))
    return palette


def segmentation(take) -> None:
    """KAF Segmentation: nothing set up, a scan chosen, a doubt, a result, every section, another computer, an error."""
    from segmentation_panel import MODULE, ReadySetup, add_scan, run

    import host
    from kaf.phantom.heart import cardiac_phantom

    class Missing(ReadySetup):
        ready = False

    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = Missing
    module.show()
    take(module, "segment-1-set-up-missing")
    Missing.ready = True
    add_scan(cardiac_phantom(0)[0], "KAFHeart")
    ui = module.ui
    host.choose(ui.inputSelector, "KAFHeart")
    host.choose(ui.modelComboBox, "hippocampus-mr")
    take(module, "segment-2-doubtful-scan")
    host.choose(ui.modelComboBox, "cardiac-mr-sax")
    host.click(ui.modelDetailsButton)
    take(module, "segment-3-model-details")
    host.click(ui.modelDetailsButton)
    run(module)
    take(module, "segment-4-result")
    ui.optionsGroupBox.checked = True
    host.choose(ui.deviceComboBox, "Another computer...")
    take(module, "segment-5-options")
    host.choose(ui.deviceComboBox, "CPU")
    ui.optionsGroupBox.checked = False
    for number, section in enumerate(("attentionSection", "adaptSection", "manySection", "logSection"), start=6):
        ui.segmentSection.collapsed = True
        getattr(ui, section).collapsed = False
        take(module, f"segment-{number}-{section.removesuffix('Section')}")
        getattr(ui, section).collapsed = True
    ui.segmentSection.collapsed = False
    ui.inputSelector.currentNode().SetSpacing(1, 1, 0)
    take(module, "segment-10-unusable-scan")
    module.unload()
    host.take_errors()


def pretraining(take) -> None:
    """KAF Pretrain: its tabs over a folder of synthetic hearts, without a run."""
    import tempfile

    from pretrain_panel import open_panel, scan_folder, write_hearts

    import host

    host.close_scene()
    with tempfile.TemporaryDirectory() as folder:
        hearts = write_hearts(Path(folder) / "hearts")
        module = open_panel(Path(folder) / "runs")
        scan_folder(module, hearts)
        ui = module.ui
        for number, tab in enumerate(("dataTab", "pretrainTab", "finetuneTab", "evaluateTab", "modelsTab"), start=1):
            ui.tabs.setCurrentWidget(getattr(ui, tab))
            take(module, f"pretrain-{number}-{tab.removesuffix('Tab')}")
        module.unload()


if __name__ == "__main__":
    main()
