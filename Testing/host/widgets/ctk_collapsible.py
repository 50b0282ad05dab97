"""ctkCollapsibleButton and ctkCollapsibleGroupBox: sections of a panel that fold away."""

from PySide6.QtCore import Property, QEvent, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QGroupBox,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QWidget,
)

from .declare import standIn, stored

_UNBOUNDED = 16777215  # QWIDGETSIZE_MAX


class _Contents:
    """Hides and shows the children of a widget, leaving alone those that were hidden on purpose."""

    def __init__(self, owner: QWidget):
        self.owner = owner
        self.folded: list[QWidget] = []

    def fold(self) -> None:
        for child in self._widgets():
            if not child.isHidden():
                child.hide()
                self.folded.append(child)

    def unfold(self) -> None:
        folded, self.folded = self.folded, []
        for child in folded:
            if child in self._widgets():
                child.show()

    def _widgets(self) -> list[QWidget]:
        return [c for c in self.owner.children() if isinstance(c, QWidget) and not c.isWindow()]


@standIn
class ctkCollapsibleButton(QAbstractButton):
    """A button with contents below it; clicking the header folds them."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._contents = _Contents(self)
        self._collapsed = False
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred)
        self.setContentsMargins(0, self._headerHeight(), 0, 0)
        self.toggled.connect(self._onToggled)

    @Property(bool, notify=contentsCollapsed)
    def collapsed(self):
        return self._collapsed

    @collapsed.setter
    def collapsed(self, value):
        self.setChecked(not value)

    collapsedHeight = stored("collapsedHeight", int, 10)
    flat = stored("flat", bool, False)
    contentsFrameShape = stored("contentsFrameShape", int, 0)
    contentsFrameShadow = stored("contentsFrameShadow", int, 0)
    contentsLineWidth = stored("contentsLineWidth", int, 1)
    contentsMidLineWidth = stored("contentsMidLineWidth", int, 0)
    buttonTextAlignment = stored("buttonTextAlignment", int, 0x84)
    indicatorAlignment = stored("indicatorAlignment", int, 0x84)

    def _onToggled(self, expanded: bool) -> None:
        self._collapsed = not expanded
        self._fold()
        self.contentsCollapsed.emit(self._collapsed)

    def _fold(self) -> None:
        if self._collapsed:
            self._contents.fold()
            self.setMaximumHeight(self._headerHeight() + self._readCollapsedHeight())
        else:
            self.setMaximumHeight(_UNBOUNDED)
            self._contents.unfold()
        self.updateGeometry()
        self.update()

    def _readCollapsedHeight(self) -> int:
        return 0 if self.flat else self.collapsedHeight

    def _headerHeight(self) -> int:
        return self.fontMetrics().height() + 8

    def event(self, event):
        # A .ui file sets `collapsed` before it makes the contents.
        if self.__dict__.get("_collapsed") and event.type() in (QEvent.ChildPolished, QEvent.Show):
            QTimer.singleShot(0, self, self._contents.fold)
            self._contents.fold()
        return super().event(event)

    def hitButton(self, position):
        return 0 <= position.y() < self._headerHeight()

    def sizeHint(self):
        contents = self.layout().sizeHint() if self.layout() and not self._collapsed else QSize(0, 0)
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        height = self._headerHeight() + self._readCollapsedHeight() * self._collapsed
        return QSize(max(width, contents.width()), max(height, contents.height()))

    def minimumSizeHint(self):
        return self.sizeHint()

    def paintEvent(self, event):
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._headerHeight())
        if self.isDown():
            option.state |= QStyle.State_Sunken
        painter.drawControl(QStyle.CE_PushButtonBevel, option)
        arrow = QStyleOptionButton()
        arrow.initFrom(self)
        arrow.rect = option.rect.adjusted(6, 6, -option.rect.width() + self._headerHeight() - 6, -6)
        painter.drawPrimitive(QStyle.PE_IndicatorArrowRight if self._collapsed else QStyle.PE_IndicatorArrowDown, arrow)
        painter.drawItemText(
            option.rect.adjusted(self._headerHeight(), 0, -4, 0),
            Qt.AlignLeft | Qt.AlignVCenter | Qt.TextShowMnemonic,
            self.palette,
            self.isEnabled(),
            self.text,
        )


@standIn
class ctkCollapsibleGroupBox(QGroupBox):
    """A group box whose check mark folds its contents."""

    def __init__(self, *arguments):
        super().__init__(next((a for a in arguments if isinstance(a, QWidget)), None))
        self._contents = _Contents(self)
        if arguments and isinstance(arguments[0], str):
            self.setTitle(arguments[0])
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda expanded: self._fold(not expanded))

    @Property(bool)
    def collapsed(self):
        return not self.isChecked()

    @collapsed.setter
    def collapsed(self, value):
        self.setChecked(not value)

    collapsedHeight = stored("collapsedHeight", int, 14)

    def _fold(self, collapsed: bool) -> None:
        if collapsed:
            self._contents.fold()
            self.setMaximumHeight(self.fontMetrics().height() + self.collapsedHeight)
        else:
            self.setMaximumHeight(_UNBOUNDED)
            self._contents.unfold()

    def event(self, event):
        if not self.isChecked() and event.type() in (QEvent.ChildPolished, QEvent.Show):
            QTimer.singleShot(0, self, self._contents.fold)
            self._contents.fold()
        return super().event(event)
