"""Offsets between the views' clocks, and their drift."""
