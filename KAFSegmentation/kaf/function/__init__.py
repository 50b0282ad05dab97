"""Cardiac function from label maps over time: volumes, ejection fraction, mass, wall thickness by AHA segment."""
