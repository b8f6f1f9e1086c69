"""Rendered person in front of four cameras, with exact truth: footage for trials without a recording."""

from epitool.labels import labels_of
from epitool.synthetic.noise import detector_like, noisy_keypoints
from epitool.synthetic.rigs import random_rig, walking_room
from epitool.synthetic.scene import render_scene

__all__ = ["detector_like", "labels_of", "noisy_keypoints", "random_rig", "render_scene", "walking_room"]
