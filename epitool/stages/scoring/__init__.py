"""Pairing of predictions with the truth, and all numbers computed from them."""
