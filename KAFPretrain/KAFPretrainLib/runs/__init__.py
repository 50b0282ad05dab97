"""Trainings: settings, start, progress, curves, monitors."""
