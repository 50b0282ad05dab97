"""Metrics, pairing, statistics, and the pages that show them."""
