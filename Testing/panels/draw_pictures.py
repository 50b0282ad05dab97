"""Draws the pictures of the README and of the tutorial: the panel on the test host, with the shipped heart model.

    .venv/bin/python Testing/panels/draw_pictures.py [NAME ...]     all of them, or those named

Each starts where the one before it ended, as in the tutorial.
"""

import sys
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]

import host  # noqa: E402

host.start()

import slicer  # noqa: E402
from kept_picture import keep_picture  # noqa: E402
from segmentation_panel import MODULE, ReadySetup, add_scan, run, segments  # noqa: E402
from setup_fakes import Bench  # noqa: E402

from kaf.phantom.heart import cardiac_phantom  # noqa: E402

ROOT = TESTING.parent
TUTORIAL = ROOT / "Docs" / "tutorial"
FILES = {
    "question": TUTORIAL / "question.png",
    "ready": TUTORIAL / "ready.png",
    "segmented": TUTORIAL / "segmented.png",
    "attention": TUTORIAL / "attention.png",
    "uncertainty": TUTORIAL / "uncertainty.png",
    "adapt": TUTORIAL / "adapt.png",
    "readme": ROOT / "Resources" / "Screenshots" / "KAFSegmentation.png",
}
WIDTH, HEIGHT = 1180, 800


def main(names: list[str]) -> None:
    unknown = set(names) - set(FILES)
    if unknown:
        raise SystemExit(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(FILES)}")
    wanted = {name: path for name, path in FILES.items() if not names or name in names}
    draw_question(wanted)
    module = host.load_module(MODULE / "KAFSegmentation.py")
    module.source.KAFSegmentationWidget.makeSetup = ReadySetup
    module.show()
    scan, truth = cardiac_phantom(0)
    add_scan(scan, "KAFHeart")
    host.choose(module.ui.inputSelector, "KAFHeart")
    host.choose(module.ui.modelComboBox, "cardiac-mr-sax")
    window = host.main_window(module, WIDTH, HEIGHT)
    view = slicer.app.layoutManager().threeDWidget(0).mrmlViewNode()
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    take(window, "ready", wanted)
    run(module)
    segmentation = slicer.util.getNode("KAFHeart segmentation")
    segmentation.CreateClosedSurfaceRepresentation()
    host.pump(50)
    slicer.app.layoutManager().resetThreeDViews()
    take(window, "segmented", wanted)
    module.ui.attentionSection.collapsed = False
    segmentation.GetDisplayNode().SetOpacity2DFill(0.1)  # what lies below the fill can be seen
    look(module, "Attention from a keypoint")
    host.click_view(slicer.app.layoutManager().sliceWidget("Red"), heart_centre())
    settle(module)
    take(window, "attention", wanted)
    look(module, "Attention of the whole scan")
    take(window, "readme", wanted)
    segmentation.GetDisplayNode().SetOpacity2DFill(0)
    look(module, "Uncertainty of the result")
    take(window, "uncertainty", wanted)
    if "adapt" in wanted:
        window.resize(WIDTH, 1090)
        adapt(module, segmentation, truth.voxels)
        take(window, "adapt", wanted)
    module.unload()


def draw_question(wanted) -> None:
    """The one question of the set-up, as it stands in an empty Slicer."""
    if "question" not in wanted:
        return
    from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs

    plan = Bench(Path("/opt/Slicer/lib/Python"), extension=False).setup._plan()
    host.dialogs().answer(lambda box: take(box, "question", wanted))
    SetupDialogs().askConsent(plan, "Slicer's Python")


def heart_centre():
    """The middle of the left ventricle in the slice that the red view shows."""
    import numpy as np

    node = slicer.util.getNode("KAFHeart segmentation")
    segmentation = node.GetSegmentation()
    key = next(k for k in segmentation.GetSegmentIDs() if segmentation.GetSegment(k).GetName().endswith("cular cavity")
               and segmentation.GetSegment(k).GetName().startswith("left"))
    centre = np.array(node.GetSegmentCenterRAS(key))
    centre[2] = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceOffset()
    return centre


def look(module, view: str) -> None:
    host.choose(module.ui.viewComboBox, view)
    settle(module)


def adapt(module, segmentation, truth) -> None:
    """Two slices are corrected, the model learns them, and the next one to check is shown."""
    ui, volume = module.ui, slicer.util.getNode("KAFHeart")
    look(module, "Nothing")
    segmentation.GetDisplayNode().SetOpacity2DFill(0.35)
    ui.segmentSection.collapsed = ui.attentionSection.collapsed = True
    ui.adaptSection.collapsed = ui.trainGroupBox.collapsed = False
    for value, segment in enumerate(segments(segmentation).values(), start=1):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume)
        for index in (1, 7):
            mask[index] = truth[index] == value
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, volume)
    segmentation.CreateClosedSurfaceRepresentation()
    host.click(ui.findExamplesButton)
    ui.adaptSecondsSlider.value = 20
    host.click(ui.adaptButton)
    host.wait_until(lambda: ui.adaptButton.text == "Train", "the end of learning")
    host.click(ui.nextSliceButton)


def settle(module) -> None:
    part = module.widget.segmentation.attention
    host.wait_until(lambda: part._ticket is None, "the answer of the worker")
    host.pump(100)


def take(shown, name: str, wanted) -> None:
    if name in wanted:
        keep_picture(shown, wanted[name])


if __name__ == "__main__":
    main(sys.argv[1:])
