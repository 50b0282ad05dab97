"""Public functions of the panels say what they take and give, and no part is handed the panel it belongs to."""

import ast

import pytest
from panel_sources import label, parsed, sources


def untyped(tree: ast.Module) -> list[str]:
    """``line: name`` of the public functions and methods of a file that lack an annotation."""
    found = []
    for parent in ast.walk(tree):
        if not isinstance(parent, ast.Module | ast.ClassDef) or getattr(parent, "name", "").startswith("_"):
            continue
        for function in parent.body:
            if isinstance(function, ast.FunctionDef) and not _isPrivate(function.name):
                found += _lacking(function, isMethod=isinstance(parent, ast.ClassDef))
    return found


def _isPrivate(name):
    return name.startswith("_") and name != "__init__"


def _lacking(function, isMethod):
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    isStatic = any(getattr(item, "id", "") == "staticmethod" for item in function.decorator_list)
    if isMethod and not isStatic:
        given = given[1:]
    given += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    found = [f"{function.lineno}: {function.name}({argument.arg})" for argument in given if argument.annotation is None]
    if function.returns is None and function.name != "__init__":
        found.append(f"{function.lineno}: what {function.name} returns")
    return found


@pytest.mark.parametrize("path", sources(), ids=label)
def test_public_functions_are_typed(path):
    assert untyped(parsed(path)) == []


@pytest.mark.parametrize(("source", "lacking"), [
    ("def f(a: int) -> int: ...", 0), ("def f(a) -> int: ...", 1), ("def f(*a): ...", 2), ("def _f(a): ...", 0),
    ("class A:\n def __init__(self, a): ...\n def f(self): ...\n def _g(self): ...", 2),
    ("class _A:\n def f(self): ...", 0)])
def test_the_check_finds_what_it_looks_for(source, lacking):
    assert len(untyped(ast.parse(source))) == lacking
