"""Calibration of cameras from joints: from pairs of views to an adjusted rig, and whether to trust it."""
