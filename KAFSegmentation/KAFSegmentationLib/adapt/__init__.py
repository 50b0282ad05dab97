"""Correcting slices, and models that learn from them."""
