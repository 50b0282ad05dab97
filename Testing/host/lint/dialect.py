"""What PySide6 accepts and PythonQt does not, as far as the source alone shows it.

Enumeration values through their type (`qt.Qt.AlignmentFlag.AlignLeft`; `qt.Qt.AlignLeft` is in both), Qt
objects as context managers (`with qt.QSignalBlocker(...)`), a receiver in `QTimer.singleShot`, PySide6
itself, and QCheckBox.stateChanged, which Qt 6.9 replaced (`toggled` is in all versions).
"""

import ast
import enum
from pathlib import Path

from .keywords import Finding, _dotted


def lint_dialect(paths) -> list[Finding]:
    """What of the given .py files works on this host and not in Slicer."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    findings = []
    for path in map(Path, paths):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            problem = _problem(node)
            if problem:
                findings.append(Finding(path, node.lineno, problem))
    return sorted(findings, key=lambda finding: (str(finding.path), finding.line))


def _problem(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return _scopedEnumeration(_dotted(node)) or _signal(node)
    if isinstance(node, ast.Call):
        return _singleShot(node) or _signalName(node)
    if isinstance(node, ast.With):
        names = [_dotted(item.context_expr) for item in node.items]
        used = [name for name in names if name.startswith(("qt.", "ctk."))]
        return f"{used[0]} is no context manager in PythonQt" if used else ""
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        return "Slicer has no PySide6" if any(m.split(".")[0] == "PySide6" for m in modules) else ""
    return ""


def _scopedEnumeration(name: str) -> str:
    from ..pythonqt.names import qtNames

    parts = name.split(".")
    if len(parts) != 4 or parts[0] != "qt":
        return ""
    kind = getattr(qtNames().get(parts[1]), parts[2], None)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"{name} does not exist in PythonQt: write qt.{parts[1]}.{parts[3]}"
    return ""


def _signal(node: ast.Attribute) -> str:
    if node.attr == "stateChanged":
        return "stateChanged differs between Qt versions: use toggled"
    return ""


def _signalName(node: ast.Call) -> str:
    first = node.args[0] if node.args else None
    isText = isinstance(first, ast.Constant) and isinstance(first.value, str)
    if isText and first.value.startswith("stateChanged(") and _dotted(node.func).endswith(".connect"):
        return "stateChanged differs between Qt versions: use toggled"
    return ""


def _singleShot(node: ast.Call) -> str:
    if _dotted(node.func) == "qt.QTimer.singleShot" and len(node.args) > 2:
        return "singleShot takes no receiver in PythonQt"
    return ""
