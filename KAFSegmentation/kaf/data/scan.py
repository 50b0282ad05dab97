"""The scan of a case, with all of its channels."""

from __future__ import annotations

from kaf.data.case import Case
from kaf.imaging.channels import with_channels
from kaf.imaging.volume import Volume, read_volume


def read_scan(case: Case, series: str | None = None, frame: int | None = None) -> Volume:
    """The scan of a case; of several channels, those after the first are in ``more``.

    Args:
        series, frame: as for :func:`kaf.imaging.volume.read_volume`, of the first channel.

    Raises:
        InputError: a file cannot be read, or the channels do not lie on the same voxels.
    """
    if case.frames:
        return with_channels([read_volume(case.image, frame=frame) for frame in range(case.frames)])
    first = read_volume(case.image, frame, series)
    return with_channels([first, *(read_volume(path) for path in case.more)]) if case.more else first
