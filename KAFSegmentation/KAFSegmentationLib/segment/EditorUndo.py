"""Undo in Slicer's own Segment Editor, when it is open on what a run writes into."""

from __future__ import annotations

import slicer


def saveSegmentEditorState(segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
    """Lets the Segment Editor, if it is open on this segmentation, undo what is about to be written."""
    widget = getattr(slicer.modules, "SegmentEditorWidget", None)
    editor = getattr(widget, "editor", None)
    if editor is not None and editor.segmentationNode() is segmentationNode:
        editor.saveStateForUndo()
