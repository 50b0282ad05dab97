"""MRML nodes in and out: volumes, sequences, segmentations, sample data."""
