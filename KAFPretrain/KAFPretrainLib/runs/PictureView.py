"""The pictures of a run: what the network matches, clusters or reconstructs, at each step that was drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import qt
from slicer.i18n import tr as _

_WIDEST = 900


class PictureView:
    """A combo box of titles, a slider through the run, the picture.

    Args:
        frame, comboBox, slider, button, label: the widgets of the .ui file.
    """

    def __init__(self, frame: qt.QWidget, comboBox: qt.QComboBox, slider: qt.QSlider, button: qt.QPushButton,
                 label: qt.QLabel):
        self._frame, self._combo, self._slider, self._label = frame, comboBox, slider, label
        self._pictures, self._shown, self._filling = {}, ("", 0), False
        button.connect("clicked()", self._openLarge)
        comboBox.connect("currentIndexChanged(int)", self._onChosen)
        slider.connect("valueChanged(int)", self._draw)
        frame.visible = False

    def show(self, pictures: Mapping[str, Sequence[str]]) -> None:
        """Shows pictures, title -> paths. While the last one is shown, the next one takes its place when it comes."""
        self._pictures = {title: list(paths) for title, paths in pictures.items()}
        self._frame.visible = bool(pictures)
        if not pictures:
            return
        before, wasLast = self._combo.currentText, self._slider.value == self._slider.maximum
        titles = list(pictures)
        self._filling = True
        if [self._combo.itemText(index) for index in range(self._combo.count)] != titles:
            self._combo.clear()
            for title in titles:
                self._combo.addItem(title)
            self._combo.setCurrentIndex(titles.index(before) if before in titles else 0)
        paths = self._paths()
        self._slider.maximum = max(0, len(paths) - 1)
        self._slider.visible = len(paths) > 1
        if wasLast:
            self._slider.value = self._slider.maximum
        self._filling = False
        self._draw()

    def fit(self) -> None:
        """Draws as wide as there is room now: while another tab was shown, the width was not known."""
        self._draw()

    def _paths(self):
        return self._pictures.get(self._combo.currentText, [])

    def _onChosen(self, index):
        if not self._filling:
            self._slider.maximum = max(0, len(self._paths()) - 1)
            self._slider.value = self._slider.maximum
            self._draw()

    def _draw(self, value=None):
        paths = self._paths()
        if not paths or self._filling:
            return
        path = paths[min(self._slider.value, len(paths) - 1)]
        width = max(200, min(_WIDEST, self._frame.width - 4))
        if (path, width) == self._shown:
            return
        picture = qt.QPixmap(path)
        if picture.isNull():
            self._label.text = _("The picture {name} no longer exists.").format(name=Path(path).name)
            return
        self._shown = (path, width)
        self._label.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))

    def _openLarge(self):
        if os.path.isfile(self._shown[0]):
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self._shown[0]))

