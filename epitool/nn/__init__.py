"""The pose network, its training and inference, and the refinement unit: all that needs PyTorch."""
