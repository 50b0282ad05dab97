"""A host for testing Slicer's scripted modules without the desktop application.

Real: the MRML scene, the logics, the displayable managers and slicer.util (slicer-core from PyPI), and Qt
(PySide6).  Stand-ins: the CTK and MRML widgets, slicer.app, PythonQt's dialect of Qt, and unless Slicer's own
files are given, ScriptedLoadableModule, parameterNodeWrapper and i18n.

    import host
    host.start()
    module = host.load_module("KAFSegmentation/KAFSegmentation.py")
    module.show()
    host.click(module.ui.applyButton)
    host.wait_until(lambda: module.ui.applyButton.text == "Apply")
    host.screenshot(module, "panel.png")
"""

from .startup import dialogs, start

__all__ = [
    "PATIENCE",
    "NotClickable",
    "UnansweredDialog",
    "add_extension",
    "check_errors",
    "choose",
    "click",
    "click_view",
    "close_scene",
    "dialogs",
    "lint_dialect",
    "lint_keyword_arguments",
    "lint_ui",
    "load_module",
    "main_window",
    "pixels",
    "press_key",
    "press_sample",
    "pump",
    "qt_messages",
    "remove_extension",
    "screenshot",
    "seen",
    "set_testing",
    "start",
    "take_errors",
    "type_text",
    "wait_until",
]

# These need the started host, or at least PySide6 and slicer-core.
_LATER = {
    "NotClickable": "actions",
    "PATIENCE": "actions",
    "UnansweredDialog": "modal",
    "add_extension": "extensions",
    "remove_extension": "extensions",
    "check_errors": "errors",
    "choose": "actions",
    "click": "actions",
    "click_view": "actions",
    "lint_dialect": "lint.dialect",
    "lint_keyword_arguments": "lint.keywords",
    "lint_ui": "lint.ui",
    "load_module": "session",
    "close_scene": "session",
    "main_window": "session",
    "set_testing": "session",
    "pixels": "actions",
    "press_key": "actions",
    "press_sample": "actions",
    "pump": "actions",
    "qt_messages": "quiet",
    "screenshot": "actions",
    "seen": "screen",
    "take_errors": "errors",
    "type_text": "actions",
    "wait_until": "actions",
}


def __getattr__(name: str):
    if name not in _LATER:
        raise AttributeError(f"module 'host' has no attribute '{name}'")
    from importlib import import_module

    if not _LATER[name].startswith("lint"):
        start()
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
