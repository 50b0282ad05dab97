"""SimCLR: contrast of slices, of which only two views of one slice are positives (Chen et al., ICML 2020)."""
