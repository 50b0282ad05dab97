"""The folder of a run: what KAF writes into it, and how one run replaces another there."""
