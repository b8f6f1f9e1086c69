"""What a body tells of scale, of the vertical, and of its sides."""
