"""The training loop and what keeps a run safe: checkpoints, averaged weights, the run folder."""
