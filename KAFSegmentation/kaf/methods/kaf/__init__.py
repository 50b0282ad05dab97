"""KAF: positional contrast of slices and of their keypoints, and matching of keypoints (Yang et al., NeurIPS 2023)."""
