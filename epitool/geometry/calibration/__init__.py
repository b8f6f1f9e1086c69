"""Cameras from joints: from pairs of views to an adjusted rig, and whether it is to be trusted."""
