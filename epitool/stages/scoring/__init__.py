"""Predictions paired with the truth, and every number about them."""
