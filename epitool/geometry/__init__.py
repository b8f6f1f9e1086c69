"""Two-view geometry, calibration from joints, triangulation, and what bodies tell about scale."""
