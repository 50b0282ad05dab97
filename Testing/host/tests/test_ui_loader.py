"""A .ui file loads however deep its last widget lies, and its children are reached as in PythonQt."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import slicer

LABEL = '<item><widget class="QLabel" name="{name}"/></item>'
FRAME = '<item><widget class="QFrame" name="{name}"><layout class="QVBoxLayout">{inside}</layout></widget></item>'
FILE = """<ui version="4.0"><class>Top</class>
<widget class="qMRMLWidget" name="Top"><layout class="QVBoxLayout">{inside}</layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>q.h</header>
</customwidget></customwidgets></ui>"""


@pytest.mark.parametrize("inside", [
    LABEL.format(name="deep"),
    FRAME.format(name="frame", inside=LABEL.format(name="deep")),
    FRAME.format(name="outer", inside=FRAME.format(name="frame", inside=LABEL.format(name="deep"))),
    FRAME.format(name="frame", inside=LABEL.format(name="deep")) + LABEL.format(name="after"),
])  # fmt: skip
def test_the_last_widget_may_lie_anywhere(tmp_path, inside):
    path = tmp_path / "top.ui"
    path.write_text(FILE.format(inside=inside), encoding="utf-8")
    widget = slicer.util.loadUI(str(path))
    assert slicer.util.childWidgetVariables(widget).deep.className() == "QLabel"
    with pytest.raises(AttributeError):
        widget.deep = 3  # what the loader may not do, a script may not either


def test_a_name_reaches_children_and_nothing_deeper(tmp_path):
    path = tmp_path / "top.ui"
    path.write_text(FILE.format(inside=FRAME.format(name="frame", inside=LABEL.format(name="deep"))), encoding="utf-8")
    widget = slicer.util.loadUI(str(path))
    assert widget.frame.deep.name == "deep"
    with pytest.raises(AttributeError):
        _ = widget.deep
