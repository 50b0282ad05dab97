"""Experiments that run other verbs whole, such as a few-shot comparison."""
