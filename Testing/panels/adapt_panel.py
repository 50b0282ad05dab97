"""What a person does with the section Correct and adapt."""

import numpy as np
import slicer
from made_models import LABELS
from segmentation_panel import hold_worker, segment_array, segments

import host

NAMES = [label.name for label in LABELS]


def unfold(panel):
    panel.ui.adaptSection.collapsed = False
    panel.ui.trainGroupBox.collapsed = False
    panel.ui.onlyIfBetterCheckBox.checked = False  # most tests are about a result that is written
    panel.ui.adaptSecondsSlider.value = 1
    host.pump()
    return panel


def masks(node, volume):
    return {name: segment_array(node, name, volume) for name in segments(node)}


def draw(node, volume, name, slices, axis=0, seed=0):
    """Scribbles into slices of a segment, and takes that away from the others, as the segment editor does."""
    found = masks(node, volume)
    place = tuple(list(slices) if other == axis else slice(None) for other in range(3))
    pattern = np.random.default_rng(seed).random(found[name][place].shape) < 0.3
    for other in found:
        found[other][place] = pattern if other == name else found[other][place] & ~pattern
        slicer.util.updateSegmentBinaryLabelmapFromArray(found[other].astype(np.uint8), node, segments(node)[other],
                                                         volume)
    return masks(node, volume)


def marked(panel):
    rows = panel.ui.exampleList
    return [rows.item(row).text() for row in range(rows.count)]


def text(panel):
    return panel.ui.adaptMessageLabel.text


def adapt(panel):
    """Presses Adapt and waits; returns the labels that the worker answered."""
    answers = []
    write, logic = panel.logic._write, panel.logic
    logic._write = lambda run, answer: (answers.append(np.array(answer["arrays"]["labels"][0])), write(run, answer))
    try:
        host.click(panel.ui.adaptButton)
        assert panel.ui.adaptButton.text == "Cancel", host.seen()
        wait_for_adapt(panel)
    finally:
        del logic._write
    return answers[0] if answers else None


def wait_for_adapt(panel):
    host.wait_until(lambda: panel.ui.adaptButton.text == "Train", "the end of learning")


def red_offset(index, volume):
    """The offset of the red view for an axial slice of a scan."""
    return float((slicer.util.arrayFromVTKMatrix(ijk_to_ras(volume)) @ [0, 0, index, 1])[2])


def ijk_to_ras(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def look_at(index, volume):
    slicer.app.layoutManager().sliceWidget("Red").sliceLogic().SetSliceOffset(red_offset(index, volume))


def same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def begin(panel):
    """Presses Adapt with a worker that stands still, and waits until it has the voxels."""
    hold_worker(panel)
    host.click(panel.ui.adaptButton)
    host.wait_until(lambda: panel.logic.backend._running and panel.logic.backend._running.job,
                    "a worker that has the voxels")
    return panel.logic.backend.client()._children[0].pid


def refused(panel):
    """Presses Adapt; nothing begins, and the reason is reported."""
    host.click(panel.ui.adaptButton)
    assert panel.ui.adaptButton.text == "Train"
    assert not panel.logic.isRunning()
    return text(panel)
