"""LRC: contrast between the regions of a slice (MICCAI 2023, arXiv 2304.03406)."""
