"""Readers of published datasets in the forms that users have on disk."""
