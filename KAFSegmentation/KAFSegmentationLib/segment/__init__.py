"""Segmentation: the logic without widgets, a run, its forecast, what is asked before it, undo."""
