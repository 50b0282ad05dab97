"""A time as a person says it."""

from __future__ import annotations

from slicer.i18n import tr as _


def roughTime(seconds: float) -> str:
    """A duration, rounded: "about 12 s", "about 3 min", "about 1.5 h"."""
    if seconds < 90:
        return _("about {seconds} s").format(seconds=max(1, round(seconds)))
    if seconds < 5400:
        return _("about {minutes} min").format(minutes=round(seconds / 60))
    return _("about {hours} h").format(hours=f"{seconds / 3600:.1f}")
