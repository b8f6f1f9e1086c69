"""Pose network, its training and inference, and the refinement unit: the parts that need PyTorch."""
