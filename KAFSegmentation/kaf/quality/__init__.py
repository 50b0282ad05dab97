"""How good a model expects its own result to be: Dice per structure and slice, calibrated on cases it has not seen."""
