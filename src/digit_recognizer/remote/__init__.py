"""Kaggle: the only folder that imports its client."""
