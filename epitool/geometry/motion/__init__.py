"""Joints over time: gaps filled, noise smoothed away."""
