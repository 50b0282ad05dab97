"""Changes of the panel's source by its syntax tree, whatever its lines say: each names a class or function, and a node
in it by the dotted name that it has there, such as ``self._bar.maximum``."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


class NoPlace(AssertionError):
    """The source has nothing that this mutation could change; it has to be told what the source says now."""


@dataclass(frozen=True)
class Mutation:
    """A change of all nodes of one class or function that ``change`` recognises.

    ``change(node)`` gives another node in place of this one, or None to leave it.
    """

    where: str
    words: str
    change: Callable[[ast.AST], ast.AST | None]

    def __str__(self):
        return f"{self.where}: {self.words}"

    def apply(self, folder: Path) -> None:
        """Changes the one file below the folder that has the class or function."""
        for path in sorted(folder.rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            scopes = [node for node in tree.body
                      if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == self.where]
            if scopes:
                changer = _Changer(self.change)
                changer.visit(scopes[0])
                if not changer.count:
                    raise NoPlace(f"{self}: nothing like it in {path.name}")
                path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
                return
        raise NoPlace(f"{self}: no class or function of this name")


class _Changer(ast.NodeTransformer):
    def __init__(self, change: Callable[[ast.AST], ast.AST | None]):
        self._change, self.count = change, 0

    def visit(self, node: ast.AST) -> ast.AST:
        changed = self._change(node)
        if changed is not None:
            self.count += 1
            return changed
        return self.generic_visit(node)


def dotted(node: ast.AST) -> str:
    """``self._bar.maximum`` for this attribute, and the name of what is called for a call."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _isCall(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == name


def _isRead(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and dotted(node) == name


def readAsMethod(where: str, name: str) -> Mutation:
    """A property that is read is called: ``x.count`` becomes ``x.count()``."""
    def change(node):
        return ast.Call(node, [], []) if _isRead(node, name) else None

    return Mutation(where, f"{name}()", change)


def renamed(where: str, name: str, new: str) -> Mutation:
    """The last part of the name, read, assigned or called, is another."""
    def change(node):
        if isinstance(node, ast.Attribute) and dotted(node) == name:
            return ast.Attribute(node.value, new, node.ctx)
        return None

    return Mutation(where, f"{name} is {new}", change)


def callAsProperty(where: str, name: str) -> Mutation:
    """A call becomes an assignment: ``x.setText(y)`` becomes ``x.setText = y``."""
    def change(node):
        if isinstance(node, ast.Expr) and _isCall(node.value, name):
            call = node.value
            return ast.Assign([ast.Attribute(call.func.value, call.func.attr, ast.Store())], call.args[0])
        return None

    return Mutation(where, f"{name} = ...", change)


def byName(where: str, name: str, keyword: str) -> Mutation:
    """The first argument of a call is given by name."""
    def change(node):
        if _isCall(node, name) and node.args:
            return ast.Call(node.func, node.args[1:], [ast.keyword(keyword, node.args[0]), *node.keywords])
        return None

    return Mutation(where, f"{name}({keyword}=...)", change)


def throughClass(where: str, name: str, owner: str) -> Mutation:
    """``qt.Qt.Key_A`` becomes ``qt.Qt.Key.Key_A``, as PySide6 has it."""
    def change(node):
        if _isRead(node, name):
            return ast.Attribute(ast.Attribute(node.value, owner, ast.Load()), node.attr, ast.Load())
        return None

    return Mutation(where, f"{name} through {owner}", change)


def callRemoved(where: str, name: str) -> Mutation:
    """A call that stands by itself goes."""
    def change(node):
        return ast.Pass() if isinstance(node, ast.Expr) and _isCall(node.value, name) else None

    return Mutation(where, f"without {name}()", change)


def assignmentRemoved(where: str, name: str, method: str) -> Mutation:
    """The assignments to a name in one method go."""
    def change(node):
        if not (isinstance(node, ast.FunctionDef) and node.name == method):
            return None
        kept = [line for line in node.body
                if not (isinstance(line, ast.Assign) and name in map(dotted, line.targets))]
        if len(kept) == len(node.body):
            return None
        node.body = kept or [ast.Pass()]
        return node

    return Mutation(where, f"{method} without {name} = ...", change)


def signalMisspelt(where: str, signal: str) -> Mutation:
    """``connect("clicked()", ...)`` connects another signal, which does not exist."""
    def change(node):
        if _isSignal(node, signal):
            return ast.Call(node.func, [ast.Constant(f"{signal[0]}x{signal[1:]}"), *node.args[1:]], node.keywords)
        return None

    return Mutation(where, f"{signal} misspelt", change)


def _isSignal(node: ast.AST, signal: str | None = None) -> bool:
    """Whether it is ``sender.connect("signal(...)", ...)``."""
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "connect" and bool(node.args) \
        and isinstance(node.args[0], ast.Constant) and signal in (None, node.args[0].value)


def countSignals(folder: Path, reported: str) -> set[tuple[str, int, str]]:
    """Makes every ``connect`` of the files below a folder tell the function ``heard``, a built-in, its (file, line,
    signal); returns those of all files."""
    found = set()
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        sites = set()
        for node in ast.walk(tree):
            if _isSignal(node):
                site = (path.name, node.lineno, node.args[0].value)
                sites.add(site)
                node.args[0] = ast.Call(ast.Name(reported, ast.Load()), [ast.Constant(part) for part in site], [])
        if sites:
            found |= sites
            path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
    return found


def uiChanged(path: Path, change: Callable[[ElementTree.Element], bool]) -> None:
    """Changes the elements of a .ui file for which ``change(element)`` does something and says so."""
    tree = ElementTree.parse(path)
    if not [element for element in list(tree.iter()) if change(element)]:
        raise NoPlace(f"{path.name} has no such element")
    tree.write(path, encoding="utf-8", xml_declaration=True)
