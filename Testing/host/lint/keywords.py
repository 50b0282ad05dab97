"""Keyword arguments in calls of C++ methods, which PythonQt refuses.

`qt.QLabel(text="x")` and `self.ui.button.setEnabled(enabled=True)` pass in PySide6 and fail in Slicer.  The
host cannot see this at run time, so the source is searched: every call that starts at `qt`, `ctk`,
`slicer.q...`, `slicer.app`, a `self.ui` widget, or a variable that came from one of them.  Calls of VTK and
MRML objects are left out, because those are real here and fail by themselves.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

_ROOTS = ("qt.", "ctk.", "slicer.q", "slicer.app.", "self.ui.", "ui.")


@dataclass(frozen=True)
class Finding:
    """A problem in a source file."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def lint_keyword_arguments(paths) -> list[Finding]:
    """The calls of Qt, CTK and MRML widget functions with keyword arguments in the given .py files."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    return [finding for path in paths for finding in _lintFile(Path(path))]


def _lintFile(path: Path) -> list[Finding]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names = _cppVariables(tree)
    findings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.keywords and _isCpp(_dotted(node.func), names):
            keywords = ", ".join(keyword.arg or "**" for keyword in node.keywords)
            text = f"{_dotted(node.func)}() is C++ and takes no keyword arguments: {keywords}"
            findings.append(Finding(path, node.lineno, text))
    return findings


def _cppVariables(tree: ast.AST) -> set[str]:
    """Variables and attributes that are assigned from a C++ call, over and over until no more are found."""
    names: set[str] = set()
    while True:
        found = set(names)
        for node in ast.walk(tree):
            for target, value in _assignments(node):
                if isinstance(value, ast.Call) and _isCpp(_dotted(value.func), names):
                    found.add(_dotted(target))
        if found == names:
            return names
        names = found


def _assignments(node: ast.AST):
    """(target, value) pairs of an assignment or a with statement."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts, strict=False)
            else:
                yield target, node.value
    elif (isinstance(node, ast.AnnAssign) and node.value is not None) or isinstance(node, ast.NamedExpr):
        yield node.target, node.value
    elif isinstance(node, ast.With):
        for item in node.items:
            if item.optional_vars is not None:
                yield item.optional_vars, item.context_expr


def _isCpp(name: str, names: set[str]) -> bool:
    if not name or name in ("self.ui", "ui"):
        return False
    return name.startswith(_ROOTS) or any(name.startswith(f"{known}.") for known in names)


def _dotted(node: ast.AST) -> str:
    """`a.b().c` as text, or an empty text where the expression is not of that form."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    if isinstance(node, ast.Call):
        owner = _dotted(node.func)
        return f"{owner}()" if owner else ""
    return ""
