"""What happens when Slicer loads a module: every file that gets imported at file scope, and what it does there.

Slicer imports all modules at its start, before anything could have been installed. A package that is missing then
takes the whole module away, and whatever runs there delays or breaks the start.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SHIPPED = {"slicer", "vtk", "qt", "ctk", "numpy", "scipy", "SimpleITK", "sitkUtils", "SampleData", "mrml",
           "vtkSegmentationCore", "vtkITK", "DICOMLib"}
# What must not run before a person has pressed something.
FORBIDDEN = {"pip_install", "pip_ensure", "pip_uninstall", "installTorch", "executePythonModule", "downloadFile",
             "launchConsoleProcess", "installExtensionFromServer", "urlopen", "urlretrieve", "Popen", "check_call",
             "check_output"}
INSTALLERS = {"pip_install", "pip_ensure"}
AT_LOAD = {"__init__", "setup", "enter"}  # of the module and widget classes: still nobody has pressed anything


def code_problems(module: Path) -> Iterator[str]:
    """What is wrong with a scripted module's file and all that it imports at file scope.

    Args:
        module: the file that Slicer loads; its folder is where its helper packages are looked for.
    """
    if not module.is_file():
        yield f"{module.name} is missing"
        return
    home = module.parent
    for path in reachable(module, home):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        where = path.relative_to(home)
        for name in sorted({name.split(".")[0] for name in imports(tree)}):
            if name not in SHIPPED and name not in sys.stdlib_module_names and not is_local(name, home):
                yield f"{where} imports {name} at file scope, which Slicer does not bring"
        yield from (f"{where} calls {name}() when it is imported" for name in sorted(calls_at_import(tree) & FORBIDDEN))
    for path in [module, *sorted(home.glob(f"{module.stem}Lib/**/*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        yield from (f"{path.relative_to(home)}: {problem}" for problem in _problems_of_calls(tree, path == module))


def reachable(start: Path, home: Path) -> list[Path]:
    """The local files that importing ``start`` imports, itself included."""
    found, waiting = [], [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.append(path)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = list(path.relative_to(home).parent.parts)
        for name in imports(tree, package):
            waiting += [file for file in local_files(name, home) if file not in found]
    return found


def imports(tree: ast.Module, package: list[str] | None = None) -> Iterator[str]:
    """Full names of what is imported at file scope; ``from x import y`` gives x and x.y."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = (package or [])[: len(package or []) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            if node.level and package is None:
                continue  # relative: local by its nature
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that runs at import: not the bodies of functions, not ``if TYPE_CHECKING``, not ``if __name__ ==``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for part in (*getattr(node, "decorator_list", ()), node.args):
                yield part
                yield from statements(part)
            continue
        if isinstance(node, ast.If) and any(word in ast.unparse(node.test) for word in ("TYPE_CHECKING", "__name__")):
            continue
        yield node
        yield from statements(node)


def calls_at_import(tree: ast.Module) -> set[str]:
    return {called(node) for node in statements(tree) if isinstance(node, ast.Call)}


def called(call: ast.Call) -> str:
    """``pip_install`` of ``slicer.util.pip_install(...)``."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_local(name: str, home: Path) -> bool:
    return (home / name).is_dir() or (home / f"{name}.py").is_file()


def local_files(name: str, home: Path) -> list[Path]:
    """The files that importing a.b.c runs: those of a, a.b and a.b.c, as far as they are local."""
    parts, files = name.split("."), []
    for end in range(1, len(parts) + 1):
        path = home.joinpath(*parts[:end])
        files += [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]
    return files


def _problems_of_calls(tree: ast.Module, is_module: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in INSTALLERS and _names_torch(node):
            yield f"{called(node)}() installs torch; leave it to the PyTorch extension"
        if is_module and isinstance(node, ast.FunctionDef) and node.name in AT_LOAD:
            for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
                if called(call) in FORBIDDEN:
                    yield f"{node.name}() calls {called(call)}(); wait until somebody presses a button"


def _names_torch(call: ast.Call) -> bool:
    """Whether one of the texts that are installed is torch; a list of packages to skip is no such text."""
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "requirements")]
    texts = [node.value for value in values for node in ast.walk(value)
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return any(word.startswith("torch") for text in texts for word in text.replace("==", " ").split())
