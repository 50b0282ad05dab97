"""Tabs that are as high as the current page: Qt makes all of them as high as the highest."""

import qt


def fitTabHeights(tabs: qt.QTabWidget) -> None:
    """Puts the contents of each page into a widget of its own, which is hidden while another page is shown: Qt asks
    pages that are not shown for their height, too, but not what is hidden on them."""
    contents = [_inner(tabs.widget(index)) for index in range(tabs.count)]

    def fit(current):
        for index, content in enumerate(contents):
            content.visible = index == current

    tabs.connect("currentChanged(int)", fit)
    fit(tabs.currentIndex)


def _inner(page):
    content = qt.QWidget()
    content.setLayout(page.layout())  # which takes the widgets along
    layout = qt.QVBoxLayout(page)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(content)
    return content
