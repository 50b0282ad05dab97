"""A Python that has this folder on its path runs this when it starts: the backend's sentences are reworded there."""

import contextlib

with contextlib.suppress(ImportError):  # a Python without kaf
    from reworded import reword

    reword()
