"""Offsets and drift between the clocks of the views."""
