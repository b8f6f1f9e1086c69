"""A rendered person before four cameras, with exact truth: footage to try everything on without a recording."""

from epitool.synthetic.noise import noisy_keypoints
from epitool.synthetic.scene import render_scene

__all__ = ["noisy_keypoints", "render_scene"]
