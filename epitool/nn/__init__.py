"""Pose network, its training and inference, and the refinement unit; only parts of this package import PyTorch."""
