"""Synthetic hearts with an exact reference segmentation."""
