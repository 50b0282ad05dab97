"""Which words in the source of a panel cannot be translated: everything a person may read goes through ``_()``.

The rule is turned round so that no way to the screen is missed: every string constant that reads like words is a
fault, unless it stands inside ``_()`` or in one of the few places that nobody reads or that stay English.
"""

import ast
import re

TRANSLATORS = {"_", "translate"}
SETTERS = {"setText", "setToolTip", "setWindowTitle", "setTitle", "setLabelText", "setInformativeText", "addButton",
           "addItem", "setItemText", "setTabText", "setPlaceholderText", "setHorizontalHeaderLabels", "setTitleText",
           "addAction", "insertItem", "addTab"}
ATTRIBUTES = {"text", "toolTip", "title", "windowTitle", "placeholderText", "format", "suffix", "prefix",
              "specialValueText", "helpText"}
"""One word is enough there to be read by a person; elsewhere it takes two to tell words from a name."""
SILENT = {"debug", "info", "warning", "exception", "print"}  # of logging: for developers, in English
WORDS = re.compile(r"[A-Za-z]{2,}[,:;]? [A-Za-z(']{1,}|[a-z][.:!?…]$|^ ?[A-Za-z]{3,} $|^[.,;:] [A-Za-z]")
WORD = re.compile(r"[A-Za-z]{2,}")
MARKUP = re.compile(r"<[^<>]*(>|$)|^[^<>]*>|&[a-z#0-9]+;|%p%")


def untranslated(tree: ast.Module, names: frozenset[str] = frozenset()) -> list[str]:
    """``line: words`` of every text that is not given to ``_()`` as one constant.

    Args:
        tree: of a source file.
        names: constants that are names (of nodes, packages, representations), not words.
    """
    finder = _Finder(names)
    finder.visit(tree)
    return finder.found


def shadows(tree: ast.Module) -> list[str]:
    """Where a file that imports ``_`` makes a variable of that name, which would hide it."""
    isImported = any(name.asname == "_" for node in tree.body if isinstance(node, ast.ImportFrom)
                     for name in node.names)
    places = [node.lineno for node in ast.walk(tree)
              if isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store)]
    return [f"{line}: _ is a variable here" for line in places if isImported]


class _Finder(ast.NodeVisitor):
    def __init__(self, names):
        self.names, self.found = names, []
        self._least = WORDS

    def visit_Call(self, node):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in TRANSLATORS and isinstance(node.func, ast.Name):
            for value in node.args:
                if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
                    self._report(node, f"{name}() of what is no constant: {ast.unparse(value)}")
            return
        if name in SILENT and isinstance(node.func, ast.Attribute | ast.Name) and _isLogging(node.func):
            return
        self._with(WORD if name in SETTERS else self._least, node)

    def visit_Assign(self, node):
        isText = any(isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES for target in node.targets)
        self._with(WORD if isText else self._least, node)

    def visit_Dict(self, node):
        for value in node.values:
            self.visit(value)

    def visit_Compare(self, node):
        self._with(WORDS, node)

    def visit_Expr(self, node):
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Constant(self, node):
        if not isinstance(node.value, str) or node.value in self.names:
            return
        text = MARKUP.sub(" ", node.value).strip(" ") if self._least is WORD else MARKUP.sub("", node.value)
        if self._least.search(text):
            self._report(node, node.value)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node):
        before, self._least = self._least, WORDS
        for part in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, *node.body]:
            if part is not None:
                self.visit(part)
        self._least = before

    def visit_Subscript(self, node):
        self.visit(node.value)
        self._with(WORDS, node.slice)

    def _with(self, least, node):
        before, self._least = self._least, least
        self.generic_visit(node)
        self._least = before

    def _report(self, node, text):
        self.found.append(f"{node.lineno}: {text}")


def _isLogging(function):
    if isinstance(function, ast.Name):
        return function.id == "print"
    return isinstance(function.value, ast.Name) and function.value.id in ("logging", "logger")
