"""slicer.i18n without translations: texts stay as they are written."""


def translate(context: str, text: str) -> str:
    """The text in the application's language, which here is the language it is written in."""
    from slicer import app

    return app.translate(context, text)


def tr(text: str) -> str:
    """The text in the application's language; modules import it as `_`."""
    return translate("", text)
