"""The pictures of a run: what the network matches, clusters or draws, then and now."""

import os
from pathlib import Path

import qt

_WIDEST = 900


class PictureView:
    """A choice of what is shown, a slider through the run, the picture.

    Args:
        frame, comboBox, slider, button, label: the widgets of the .ui file.
    """

    def __init__(self, frame, comboBox, slider, button, label):
        self._frame, self._combo, self._slider, self._label = frame, comboBox, slider, label
        self._pictures, self._shown, self._filling = {}, ("", 0), False
        button.connect("clicked()", self._openLarge)
        comboBox.connect("currentIndexChanged(int)", self._onChosen)
        slider.connect("valueChanged(int)", self._draw)
        frame.visible = False

    def show(self, pictures):
        """Title -> paths. Whoever looks at the last one sees the next one when it comes."""
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

    def fit(self):
        """Draws as wide as there is room now: what came while another tab was shown knew of no width."""
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
            self._label.text = f"{Path(path).name} is not there any more."
            return
        self._shown = (path, width)
        self._label.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))

    def _openLarge(self):
        if os.path.isfile(self._shown[0]):
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self._shown[0]))

