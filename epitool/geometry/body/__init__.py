"""Scale, vertical and sides from a person's body."""
