"""The parameter node wrapper: what Slicer's own package does, ours does.

The tests hold for both: SLICER_PYTHON_SOURCES names the folder with Slicer's files.
"""

import enum
from pathlib import Path
from typing import Annotated, Optional, Union

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import ctk
import qt
import slicer
from slicer import vtkMRMLModelNode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import (
    Choice,
    Decimals,
    Default,
    Exclude,
    FloatRange,
    Maximum,
    Minimum,
    RangeBounds,
    SingleStep,
    Validator,
    WithinRange,
    createGuiConnector,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    isParameterPack,
    parameterNodeWrapper,
    parameterPack,
)

import host


class Mode(enum.Enum):
    fast = 1
    best = 2


@parameterPack
class Point:
    x: float = 1.5
    y: Annotated[float, Minimum(0)]


@parameterPack
class Box:
    low: Point
    high: Point
    name: str = "box"


class Even(Validator):
    def validate(self, value):
        if value % 2:
            raise ValueError(f"{value} is odd")


@parameterNodeWrapper
class Everything:
    count: Annotated[int, Even()] = 4
    share: Annotated[float, WithinRange(0, 1), Decimals(3), SingleStep(0.25)] = 0.5
    flag: bool = True
    text: Annotated[str, Default("hello")]
    kind: Annotated[str, Choice(["CT", "MR"]), Default("MR")]
    notThis: Annotated[str, Exclude(["a"])] = "b"
    folder: Path = Path("/data")
    mode: Mode
    volume: vtkMRMLScalarVolumeNode
    either: Union[vtkMRMLScalarVolumeNode, vtkMRMLModelNode, None]  # noqa: UP007
    maybe: Optional[int]  # noqa: UP045
    modern: int | None
    names: list[str]
    volumes: list[vtkMRMLScalarVolumeNode]
    table: dict[str, int]
    window: Annotated[FloatRange, RangeBounds(-1000, 1000), Default(FloatRange(-5, 5))]
    point: Point
    box: Box


@pytest.fixture
def node():
    host.close_scene()
    yield slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    host.close_scene()


@pytest.fixture
def everything(node):
    return Everything(node)


def test_defaults(everything):
    assert (everything.count, everything.share, everything.flag, everything.text) == (4, 0.5, True, "hello")
    assert (everything.kind, everything.folder, everything.mode) == ("MR", Path("/data"), Mode.fast)
    assert everything.volume is None
    assert everything.either is None
    assert everything.maybe is None
    assert list(everything.names) == []
    assert dict(everything.table) == {}
    assert (everything.window.minimum, everything.window.maximum) == (-5, 5)
    assert everything.box.low.x == 1.5
    assert everything.default("count").value == 4
    assert isParameterNodeWrapper(everything)
    assert isParameterPack(everything.box)


def test_values_survive_in_the_node(everything, node):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    everything.count, everything.flag, everything.mode = 8, False, Mode.best
    everything.volume, everything.either = volume, model
    everything.maybe, everything.modern = 7, 9
    everything.names, everything.volumes, everything.table = ["a", "b"], [volume, None], {"k": 3}
    everything.window = FloatRange(-10, 20)
    everything.setValue("box.high.x", 9.0)
    again = Everything(node)
    assert (again.count, again.flag, again.mode, again.maybe, again.modern) == (8, False, Mode.best, 7, 9)
    assert again.volume is volume
    assert again.either is model
    assert list(again.names) == ["a", "b"]
    assert list(again.volumes) == [volume, None]
    assert dict(again.table) == {"k": 3}
    assert (again.window.minimum, again.window.maximum) == (-10, 20)
    assert again.getValue("box.high.x") == 9.0
    assert again.box.low.x == 1.5
    again.maybe = None
    again.either = None
    assert everything.maybe is None
    assert everything.either is None


def test_the_format_in_the_node(everything, node):
    everything.mode, everything.flag, everything.names = Mode.best, False, ["x"]
    everything.setValue("point.x", 2.25)
    found = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    assert found["mode"] == "best"
    assert found["flag"] == "False"
    assert (found["names.len"], found["names.0"]) == ("1", "x")
    assert found["point.x"] == "2.25"
    assert found["share"] == "0.5"
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    everything.volume = volume
    assert node.GetNodeReferenceID("volume") == volume.GetID()
    everything.maybe = 3
    assert node.GetParameter("maybe.0") == "3"


def test_changes_inside_lists_dictionaries_and_packs_are_written(everything, node):
    everything.names.append("one")
    everything.names += ["two"]
    everything.names[0] = "zero"
    everything.table["k"] = 5
    everything.point.x = 4.5
    everything.box.high.y = 6.0
    again = Everything(node)
    assert list(again.names) == ["zero", "two"]
    assert dict(again.table) == {"k": 5}
    assert again.point.x == 4.5
    assert again.box.high.y == 6.0
    everything.names.clear()
    assert not node.HasParameter("names.0")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("count", 3, ValueError),
        ("count", "3", TypeError),
        ("count", None, ValueError),
        ("share", 1.5, ValueError),
        ("kind", "PET", ValueError),
        ("notThis", "a", ValueError),
        ("flag", "yes", TypeError),
        ("text", 3, TypeError),
        ("folder", "/data", TypeError),
        ("mode", "fast", TypeError),
        ("volume", "vtkMRMLScalarVolumeNode1", TypeError),
        ("names", [1], TypeError),
        ("window", FloatRange(-2000, 0), ValueError),
        ("maybe", "text", TypeError),
    ],
)
def test_wrong_values_are_refused_and_the_old_one_stays(everything, name, value, error):
    before = str(getattr(everything, name))
    with pytest.raises(error):
        setattr(everything, name, value)
    assert str(getattr(everything, name)) == before


def test_pack_members_are_checked(everything):
    with pytest.raises(ValueError, match="-1"):
        everything.point.y = -1.0
    with pytest.raises(ValueError, match="minimum <= maximum"):
        FloatRange(2, 1)
    assert Point(3.0, 4.0) == Point(x=3.0, y=4.0)
    assert Point(3.0, 4.0) != Point(3.0, 5.0)


def test_a_renamed_enumeration_member_breaks_an_old_scene(everything, node):
    node.SetParameter("mode", "fastest")
    with pytest.raises(ValueError, match="fastest"):
        _ = Everything(node).mode


def test_unknown_names_and_types_are_errors(everything):
    with pytest.raises(ValueError, match="nothing"):
        everything.getValue("nothing")
    with pytest.raises(ValueError, match="nothing"):
        everything.setValue("nothing", 3)
    with pytest.raises(Exception, match="member bad"):

        @parameterNodeWrapper
        class Bad:
            bad: complex

    with pytest.raises(ValueError, match="reserved"):

        @parameterNodeWrapper
        class Reserved:
            connectGui: int


def test_one_modified_event_for_a_group_of_changes(everything):
    events = []
    tag = everything.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    everything.count = 6
    assert len(events) == 1
    with slicer.util.NodeModify(everything):
        everything.count, everything.flag = 8, False
    assert len(events) == 2
    everything.RemoveObserver(tag)
    everything.count = 10
    assert len(events) == 2


def bind(node, name, widget, value):
    """Bind one parameter, write it from both sides; returns what the node holds after the widget changed."""
    node.connectParametersToGui({name: widget})
    value(widget)
    return node.getValue(name)


def test_every_kind_of_widget_writes_its_parameter(everything):
    spin, slider, range_ = qt.QSpinBox(), ctk.ctkSliderWidget(), ctk.ctkRangeWidget()
    assert bind(everything, "count", spin, lambda w: setattr(w, "value", 12)) == 12
    assert bind(everything, "share", slider, lambda w: setattr(w, "value", 0.75)) == 0.75
    assert (slider.maximum, slider.decimals, slider.singleStep) == (1, 3, 0.25)
    assert bind(everything, "share", ctk.ctkDoubleSpinBox(), lambda w: setattr(w, "value", 0.25)) == 0.25
    assert slider.value == 0.25
    assert bind(everything, "flag", qt.QCheckBox(), lambda w: setattr(w, "checked", False)) is False
    button = qt.QPushButton()
    button.checkable = True
    assert bind(everything, "flag", button, lambda w: w.toggle()) is True
    assert bind(everything, "text", qt.QLineEdit(), lambda w: setattr(w, "text", "new")) == "new"
    assert bind(everything, "text", qt.QTextEdit(), lambda w: w.setPlainText("more")) == "more"
    assert bind(everything, "kind", qt.QComboBox(), lambda w: setattr(w, "currentText", "CT")) == "CT"
    assert bind(everything, "mode", ctk.ctkComboBox(), lambda w: w.setCurrentIndex(1)) is Mode.best
    path = ctk.ctkPathLineEdit()
    assert bind(everything, "folder", path, lambda w: setattr(w, "currentPath", "/logs")) == Path("/logs")
    folder = ctk.ctkDirectoryButton()
    assert bind(everything, "folder", folder, lambda w: setattr(w, "directory", "/")) == Path("/")
    assert path.currentPath == "/"
    found = bind(everything, "window", range_, lambda w: w.setValues(-3, 30))
    assert (found.minimum, found.maximum) == (-3, 30)
    assert (range_.minimum, range_.maximum) == (-1000, 1000)


def test_node_selectors_get_their_types_and_follow(everything):
    selector = slicer.qMRMLNodeComboBox()
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    everything.connectParametersToGui({"either": selector})
    assert list(selector.nodeTypes) == ["vtkMRMLScalarVolumeNode", "vtkMRMLModelNode"]
    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    selector.setCurrentNode(model)
    assert everything.either is model
    slicer.mrmlScene.RemoveNode(model)
    assert everything.either is None


def test_disconnected_widgets_stay_alone(everything):
    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    edit = qt.QLineEdit()
    edit.setProperty("SlicerParameterName", "text")
    layout.addWidget(edit)
    tag = everything.connectGui(panel)
    assert edit.text == "hello"
    assert findChildWidgetForParameter(panel, "text") is edit
    everything.disconnectGui(tag)
    edit.text = "not heard"
    assert everything.text == "hello"
    everything.text = "not shown"
    assert edit.text == "not heard"
    everything.disconnectGui(tag)  # twice does no harm


def test_what_cannot_be_bound_is_an_error(everything):
    with pytest.raises(RuntimeError):
        everything.connectParametersToGui({"count": qt.QSlider()})  # no bounds
    with pytest.raises(RuntimeError):
        createGuiConnector(qt.QPushButton(), str)
    with pytest.raises(RuntimeError):
        createGuiConnector(ctk.ctkSliderWidget(), Annotated[float, Maximum(3)])
    with pytest.raises(RuntimeError):
        createGuiConnector(qt.QComboBox(), str)
    with pytest.raises(ValueError, match="nothing"):
        everything.connectParametersToGui({"nothing": qt.QLineEdit()})


def test_a_container_binds_a_pack(everything):
    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    spins = {}
    for name in ("x", "y"):
        spins[name] = qt.QDoubleSpinBox()
        spins[name].setProperty("SlicerPackParameterName", name)
        layout.addWidget(spins[name])
    everything.connectParametersToGui({"point": panel})
    assert spins["x"].value == 1.5
    spins["y"].value = 3.5
    assert everything.point.y == 3.5
    everything.point.x = 2.5
    assert spins["x"].value == 2.5
