"""MAE: masked patches are reconstructed (He et al., CVPR 2022)."""
