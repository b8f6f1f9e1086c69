"""Triangulation of joints from calibrated views."""
