"""Settings of SimCLR."""

from __future__ import annotations

from kaf.methods.contrast_settings import ContrastSettings

SETTINGS = ContrastSettings(positives="view")
