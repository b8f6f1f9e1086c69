"""Pictures of poses, cameras and their fit; the only package that imports matplotlib."""
