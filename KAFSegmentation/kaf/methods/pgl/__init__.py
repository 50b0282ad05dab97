"""PGL: the same location in two crops has the same features (arXiv 2011.12640)."""
