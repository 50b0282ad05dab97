"""Reliability campaigns: thousands of kills, geometries, bad inputs and bit flips, each judged without a person."""
