"""What the segment editor shows: two selectors, the list of segments, the tools, undo and redo."""

from PySide6.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .node_selector import qMRMLNodeComboBox
from .segments_table import qMRMLSegmentsTableView

_IN_A_ROW = 4


class SegmentEditorForm:
    """The widgets inside an editor; whoever makes it connects them."""

    def __init__(self, owner: QWidget, effects: list):
        layout = QVBoxLayout(owner)
        layout.setContentsMargins(0, 0, 0, 0)
        self.segmentations, self.volumes = qMRMLNodeComboBox(owner), qMRMLNodeComboBox(owner)
        self.segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self.volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.volumes.hideChildNodeTypes = ["vtkMRMLSegmentationNode"]
        self.volumes.noneEnabled = True
        self.volumes.noneDisplay = "Select source volume to enable editing"
        self.volumes.addEnabled = False
        self.volumes.renameEnabled = self.segmentations.renameEnabled = True
        self.segmentationLabel, self.volumeLabel = QLabel("Segmentation:", owner), QLabel("Source volume:", owner)
        form = QFormLayout()
        form.addRow(self.segmentationLabel, self.segmentations)
        form.addRow(self.volumeLabel, self.volumes)
        layout.addLayout(form)
        self.add, self.remove = QPushButton("Add", owner), QPushButton("Remove", owner)
        self.add.setObjectName("AddSegmentButton")
        self.remove.setObjectName("RemoveSegmentButton")
        layout.addLayout(_row(self.add, self.remove))
        self.table = qMRMLSegmentsTableView(owner)
        self.table.setSelectionMode(1)
        self.table.setMinimumHeight(110)
        layout.addWidget(self.table)
        self.effects = QGroupBox(owner)
        box = QVBoxLayout(self.effects)
        self.buttons = {effect: self._effectButton(effect) for effect in (None, *effects)}
        every = list(self.buttons.values())
        for start in range(0, len(every), _IN_A_ROW):
            box.addLayout(_row(*every[start : start + _IN_A_ROW]))
        layout.addWidget(self.effects)
        self.undo, self.redo = QToolButton(owner), QToolButton(owner)
        for button, text in ((self.undo, "Undo"), (self.redo, "Redo")):
            button.setText(text)
            button.setObjectName(f"{text}Button")
        layout.addLayout(_row(self.undo, self.redo))

    def show(self, selectors: dict[str, bool], offered: list) -> None:
        """Which parts are shown, and which tools are offered."""
        for name, widgets in (("segmentation", (self.segmentations, self.segmentationLabel)),
                              ("volume", (self.volumes, self.volumeLabel)), ("buttons", (self.add, self.remove))):
            for widget in widgets:
                widget.setVisible(selectors[name])
        for effect, button in self.buttons.items():
            button.setVisible(effect in offered)

    def _effectButton(self, effect) -> QToolButton:
        button = QToolButton(self.effects)
        button.setText(effect.name if effect is not None else "None")
        button.setObjectName(effect.name if effect is not None else "NULL")
        button.setCheckable(True)
        return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return layout
