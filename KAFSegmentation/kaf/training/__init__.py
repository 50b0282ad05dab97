"""The training loop with checkpoints, EMA, schedule, validation, probe and monitors."""
