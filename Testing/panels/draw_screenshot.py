"""Draws the picture of the README: the panel on the test host with the shipped heart model.

    .venv/bin/python Testing/panels/draw_screenshot.py Resources/Screenshots/KAFSegmentation.png
"""

import os
import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import host  # noqa: E402

host.start()

from segmentation_panel import MODULE, ReadySetup, add_scan, run  # noqa: E402

from kaf.phantom import cardiac_phantom  # noqa: E402


def main(target: str) -> None:
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = ReadySetup
    module.show()
    add_scan(cardiac_phantom(0)[0])
    host.choose(module.ui.inputSelector, "Heart")
    host.choose(module.ui.modelComboBox, "cardiac-mr-sax")
    run(module)
    module.ui.attentionSection.collapsed = False
    combo = module.ui.viewComboBox
    host.choose(combo, combo.itemText(1))
    host.pump(6000)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    host.screenshot(host.main_window(module, width=1500, height=950), target)
    module.unload()


if __name__ == "__main__":
    main(sys.argv[1])
