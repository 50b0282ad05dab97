"""The result goes with the scan: another scan brings its own segmentation, and leaves nothing of the one before."""

import slicer

from KAFSegmentationLib.scene.ResultOwner import isForeign, isOwn, resultsOf
from KAFSegmentationLib.widgets.Parameters import Parameters


class ResultChoice:
    """Follows the choice of the scan.

    The segmentation that a person chose for a scan comes back with it; else the newest that KAF has made for it, else
    a new one. A region was drawn on the scan before, and stays behind.
    """

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """The scene is closing."""
        self._scan = None
        self._chosen: dict[str, str] = {}  # id of a scan -> id of its segmentation
        self._isChanging = False

    def bind(self, parameters: Parameters) -> bool:
        """The choices of a scene are taken as they are; returns whether the scan is another than the one before."""
        before, self._scan = self._scan, parameters.inputVolume
        return self._scan is not before

    def follow(self, parameters: Parameters) -> bool:
        """Brings the result in line with the scan; returns whether another scan was chosen."""
        scan, result = parameters.inputVolume, parameters.outputSegmentation
        if self._isChanging:
            return False
        if scan is self._scan:
            if scan is not None and result is not None:
                self._chosen[scan.GetID()] = result.GetID()
            return False
        self._scan = scan
        if scan is not None:
            self._isChanging = True
            parameters.roi = None
            parameters.outputSegmentation = self._resultFor(scan, result)
            self._isChanging = False
        return True

    def _resultFor(self, scan, result):
        if result is not None and isOwn(result, scan) and result.GetSegmentation().GetNumberOfSegments():
            return result
        chosen = slicer.mrmlScene.GetNodeByID(self._chosen.get(scan.GetID(), ""))
        if chosen is not None and not isForeign(chosen, scan):
            return chosen
        found = resultsOf(scan)
        if found:
            return found[-1]
        return result if result is not None and isOwn(result, scan) else None
