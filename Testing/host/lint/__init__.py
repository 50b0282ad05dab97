"""Checks of a module's files that need no running application."""
