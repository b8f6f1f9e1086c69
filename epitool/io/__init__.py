"""Readers and writers of files; every file states its format, skeleton and unit, and is written atomically."""
