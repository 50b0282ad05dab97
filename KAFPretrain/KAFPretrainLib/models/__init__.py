"""The Models tab and the model library."""
