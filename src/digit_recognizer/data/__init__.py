"""Datasets: their files, sources and verification, and images from photos."""
