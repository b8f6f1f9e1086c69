"""Pictures of poses, cameras and how well they fit; the only owner of matplotlib."""
