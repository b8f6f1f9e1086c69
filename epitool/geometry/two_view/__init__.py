"""Two views of one scene: epipolar geometry, relative pose, exchanged sides."""
