"""Widgets and interfaces that the tabs share."""
