"""Slices and volumes through a network; attention as numbers and maps."""
