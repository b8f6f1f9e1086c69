"""Readers of published datasets, as their users have them on disk."""
