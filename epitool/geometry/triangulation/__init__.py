"""Joints from calibrated views."""
