"""Keypoint memory: what a few finished slices say about the others, by attention to them."""
