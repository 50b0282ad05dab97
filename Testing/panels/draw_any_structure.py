"""Draws the pictures of the tutorial "Any structure, five slices": a structure of a synthetic abdomen, from nothing.

    .venv/bin/python Testing/panels/draw_any_structure.py

A minute or two: the worker and the shipped models are real, and what a person would draw is taken from the phantom.
"""

import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING.parent / "KAFSegmentation"), *(str(TESTING / part) for part in (".", "panels", "helpers"))]

import host  # noqa: E402

host.start()

import numpy as np  # noqa: E402
import slicer  # noqa: E402
from adapt_panel import look_at  # noqa: E402
from kept_picture import keep_picture  # noqa: E402
from made_abdomen import abdomen  # noqa: E402
from segmentation_panel import MODULE, ReadySetup, add_scan, segments  # noqa: E402

FOLDER = TESTING.parent / "Docs" / "tutorial-any-structure"
SLICES, SIZE = 24, 192


def main() -> None:
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = ReadySetup
    module.show()
    scan, truth = abdomen(SLICES, SIZE)
    volume = add_scan(scan, "Abdomen")
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(350, 60)
    host.choose(module.ui.inputSelector, "Abdomen")
    window = host.main_window(module, 1280, 1040)
    view = slicer.app.layoutManager().threeDWidget(0).mrmlViewNode()
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    ui = module.ui
    ui.segmentSection.collapsed = True
    ui.adaptSection.collapsed = False
    host.click(ui.newStructureButton)
    node = ui.outputSelector.currentNode()
    (key,) = segments(node).values()
    node.GetSegmentation().GetSegment(key).SetName("liver")
    node.GetSegmentation().GetSegment(key).SetColor(0.87, 0.42, 0.31)
    held = np.flatnonzero((truth.voxels == 1).any(axis=(1, 2)))
    first, last = int(held[3]), int(held[-4])  # near the ends
    for number, index in enumerate((int(held[len(held) // 2]), first, last)):
        draw(module, node, key, volume, truth.voxels == 1, index)
        if number == 0:
            take(window, "drawn")
        host.click(ui.addExampleButton)
        updated(module)
        if number == 0:
            look_at(index + 2, volume)
            take(window, "first")
    for number in range(2):
        host.click(ui.nextSliceButton)
        if number == 0:
            take(window, "next")
        index = module.widget.segmentation.adaptation.examples.scan.shown()
        draw(module, node, key, volume, truth.voxels == 1, index)
        host.click(ui.addExampleButton)
        updated(module)
    node.CreateClosedSurfaceRepresentation()
    host.pump(50)
    slicer.app.layoutManager().resetThreeDViews()
    look_at(int(held[len(held) // 2]) + 2, volume)
    take(window, "five")
    found = slicer.util.arrayFromSegmentBinaryLabelmap(node, key, volume) > 0
    rest = [index for index in range(SLICES) if index not in module.widget.segmentation.adaptation.examples.slices()]
    both = (found & (truth.voxels == 1))[rest].sum()
    print(f"Dice over unfinished slices: {2 * both / (found[rest].sum() + (truth.voxels == 1)[rest].sum()):.3f}")
    where_from(module, window, volume, found)
    module.unload()


def draw(module, node, key, volume, wanted, index) -> None:
    """The structure as a person would draw it in a slice, which is shown."""
    look_at(index, volume)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, key, volume).copy()
    mask[index] = wanted[index]
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, key, volume)


def updated(module) -> None:
    loop = module.widget.segmentation.adaptation.propagation.loop
    host.wait_until(lambda: not loop.isRunning, "the update", timeout=240)
    print(module.ui.adaptMessageLabel.text, "|", module.ui.resultLabel.text)


def where_from(module, window, volume, found) -> None:
    part = module.widget.segmentation.adaptation
    scan = part.examples.scan
    index = scan.shown()
    rows, columns = np.nonzero(found[index])
    edge = int(np.argmax(columns))
    host.click(module.ui.whereFromButton)
    host.click_view(slicer.app.layoutManager().sliceWidget("Red"), scan.point([index, rows[edge], columns[edge] - 2]))
    host.wait_until(lambda: part.whereFrom._ticket is None, "the answer")
    take(window, "where")


def take(window, name: str) -> None:
    keep_picture(window, FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
