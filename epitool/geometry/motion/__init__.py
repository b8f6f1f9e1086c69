"""Joints over time: filling gaps, filtering and smoothing."""
