"""Checks of a .ui file and of the code that uses it."""

import ast
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

from .keywords import Finding


def lint_ui(ui_path, module_dir=None) -> list[Finding]:
    """What is wrong with a .ui file, and with the `ui.X` in the .py files under `module_dir`.

    Every widget class exists and is declared; every property of a custom widget exists; names are unique;
    every connection has a sender, receiver, signal and slot that exist; every custom widget that takes a
    scene gets it; every `ui.X` of the code is in the file.  Needs the widgets of the host, so it starts it.
    """
    ui_path = Path(ui_path)
    tree = ET.fromstring(ui_path.read_text(encoding="utf-8"))
    widgets = {node.get("name"): node.get("class") for node in tree.iter("widget")}
    problems = [*_classes(tree), *_duplicates(tree), *_properties(tree), *_connections(tree, widgets)]
    problems += _scenes(tree, widgets)
    findings = [Finding(ui_path, 0, text) for text in problems]
    if module_dir is not None:
        names = {node.get("name") for node in tree.iter() if node.tag in ("widget", "action", "layout")}
        for path in sorted(Path(module_dir).rglob("*.py")):
            findings += _uses(path, names, ui_path)
    return findings


def _class(name: str):
    """The Qt class or stand-in of that name, or None."""
    from ..pythonqt.names import qtNames
    from ..startup import start
    from ..widgets.declare import standIns

    start()
    return standIns().get(name) or qtNames().get(name)


@cache
def _instance(cls: type):
    """A widget of that class: a class made in Python shows its metaobject only through an instance."""
    return cls()


def _meta(cls: type):
    return _instance(cls).metaObject() if cls.__module__.startswith("host.") else cls.staticMetaObject


def _isCustom(name: str) -> bool:
    return name.startswith(("ctk", "qMRML", "qSlicer"))


def _classes(tree) -> list[str]:
    declared = {node.findtext("class") for node in tree.iter("customwidget")}
    used = {node.get("class") for node in tree.iter("widget")}
    problems = [f"unknown widget class {name}" for name in sorted(used) if _class(name) is None]
    problems += [f"{name} is not under <customwidgets>" for name in sorted(used - declared) if _isCustom(name)]
    return problems + [f"{name} is under <customwidgets> and not used" for name in sorted(declared - used)]


def _duplicates(tree) -> list[str]:
    names = [node.get("name") for node in tree.iter("widget")]
    return [f"two widgets are called {name}" for name in sorted(set(names)) if names.count(name) > 1]


def _properties(tree) -> list[str]:
    problems = []
    for node in tree.iter("widget"):
        cls = _class(node.get("class"))
        if cls is None or not _isCustom(node.get("class")):
            continue
        meta = _meta(cls)
        for item in node.findall("property"):
            if item.get("stdset") != "0" and meta.indexOfProperty(item.get("name")) < 0:
                problems.append(f"{node.get('class')} {node.get('name')} has no property {item.get('name')}")
    return problems


def _connections(tree, widgets: dict[str, str]) -> list[str]:
    problems = []
    for node in tree.iter("connection"):
        sender, signal, receiver, slot = (node.findtext(p) or "" for p in ("sender", "signal", "receiver", "slot"))
        ends = [(f"sender {sender}", sender), (f"receiver {receiver}", receiver)]
        missing = [text for text, name in ends if name not in widgets]
        problems += [f"a connection's {text} is not in the file" for text in missing]
        if missing:
            continue
        if not _hasSignal(_class(widgets[sender]), signal):
            problems.append(f"{widgets[sender]} {sender} has no signal {signal}")
        if not _hasSlot(_class(widgets[receiver]), slot):
            problems.append(f"{widgets[receiver]} {receiver} has no slot {slot}")
    return problems


def _hasSignal(cls, signature: str) -> bool:
    from ..pythonqt.signals import normalized

    return cls is not None and _meta(cls).indexOfSignal(normalized(signature)) >= 0


def _hasSlot(cls, signature: str) -> bool:
    from ..pythonqt.signals import normalized

    if cls is None:
        return False
    return _meta(cls).indexOfMethod(normalized(signature)) >= 0 or callable(getattr(cls, signature.split("(")[0], None))


def _scenes(tree, widgets: dict[str, str]) -> list[str]:
    """MRML widgets that the top widget's scene does not reach."""
    top = tree.find("widget")
    reached = {
        node.findtext("receiver")
        for node in tree.iter("connection")
        if (node.findtext("slot") or "").startswith("setMRMLScene(")
    }
    return [
        f"the scene does not reach {cls} {name}: no connection to its setMRMLScene"
        for name, cls in widgets.items()
        if name != top.get("name") and name not in reached and hasattr(_class(cls), "setMRMLScene")
    ]


def _uses(path: Path, names: set[str], ui_path: Path) -> list[Finding]:
    """Every `ui.X` and `self.ui.X` whose X is not in the .ui file and is not assigned by the code."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _isUiAttribute(node)]
    assigned = {node.attr for node in nodes if isinstance(node.ctx, ast.Store)}
    return [
        Finding(path, node.lineno, f"ui.{node.attr} is not in {ui_path.name}")
        for node in nodes
        if node.attr not in names | assigned
    ]


def _isUiAttribute(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value
    return (isinstance(owner, ast.Name) and owner.id == "ui") or (
        isinstance(owner, ast.Attribute) and owner.attr == "ui"
    )
