"""Comparison of recipes."""
