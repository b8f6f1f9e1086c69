"""Geometry of people and cameras on arrays."""
