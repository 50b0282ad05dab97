"""PCL: positional contrast of slices (Zeng et al., MICCAI 2021)."""
