"""ctkCollapsibleButton and ctkCollapsibleGroupBox: sections of a panel that fold away."""

from PySide6.QtCore import Property, QEvent, QObject, QSize, Qt, Signal
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


class _Contents(QObject):
    """Hides and shows the children of a widget, and keeps what others want of them meanwhile: who is shown while the
    section is folded appears when it unfolds, and who is hidden then does not."""

    _WISH = "visibilityToParent"  # a dynamic property of each child, as in CTK

    def __init__(self, owner: QWidget):
        super().__init__(owner)
        self._owner, self._isOwnDoing = owner, False
        owner.installEventFilter(self)

    def apply(self) -> None:
        """Brings all children in line."""
        for child in self._owner.children():
            if isinstance(child, QWidget) and not child.isWindow():
                self._applyTo(child)

    def showing(self, show) -> None:
        """The section itself is shown or hidden by `show()`."""
        self._isOwnDoing = True
        show()
        self._isOwnDoing = False
        self.apply()

    def eventFilter(self, watched, event):
        if watched is self._owner:
            if event.type() == QEvent.ChildAdded and isinstance(event.child(), QWidget):
                self._adopt(event.child())
        elif not self._isOwnDoing and event.type() in (QEvent.ShowToParent, QEvent.HideToParent):
            isShown = event.type() == QEvent.ShowToParent
            QObject.setProperty(watched, self._WISH, isShown)
            if isShown:
                self._applyTo(watched)
        return False

    def _adopt(self, child: QWidget) -> None:
        if child.testAttribute(Qt.WA_WState_ExplicitShowHide) and child.testAttribute(Qt.WA_WState_Hidden):
            QObject.setProperty(child, self._WISH, False)
        child.installEventFilter(self)
        self._applyTo(child)

    def _applyTo(self, child: QWidget) -> None:
        if not self._owner.testAttribute(Qt.WA_WState_Created):
            return  # what is hidden now is shown again with the whole
        isWanted = QObject.property(child, self._WISH) is not False
        isVisible = isWanted and not self._owner.collapsed
        self._isOwnDoing = True
        if not isVisible or child.testAttribute(Qt.WA_WState_Created):
            child.setVisible(isVisible)
        if isWanted:
            child.setAttribute(Qt.WA_WState_ExplicitShowHide, False)
        self._isOwnDoing = False


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

    collapsedHeight = stored("collapsedHeight", int, 14)
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
        height = self._headerHeight() + self._readCollapsedHeight() if self._collapsed else _UNBOUNDED
        self.setMaximumHeight(height)
        self._contents.apply()
        self.updateGeometry()
        self.update()

    def _readCollapsedHeight(self) -> int:
        return 0 if self.flat else self.collapsedHeight

    def _headerHeight(self) -> int:
        return self.fontMetrics().height() + 8

    def setVisible(self, visible):
        self._contents.showing(lambda: QWidget.setVisible(self, visible))

    def hitButton(self, position):
        return 0 <= position.y() < self._headerHeight()

    def sizeHint(self):
        return self._sizeWith("sizeHint")

    def minimumSizeHint(self):
        return self._sizeWith("totalMinimumSize")

    def _sizeWith(self, kind):
        isOpen = self.layout() is not None and not self._collapsed
        contents = getattr(self.layout(), kind)() if isOpen else QSize(0, 0)
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        height = self._headerHeight() + self._readCollapsedHeight() * self._collapsed
        return QSize(max(width, contents.width()), max(height, contents.height()))

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
        self.setMaximumHeight(self.fontMetrics().height() + self.collapsedHeight if collapsed else _UNBOUNDED)
        self._contents.apply()

    def setVisible(self, visible):
        self._contents.showing(lambda: QWidget.setVisible(self, visible))
