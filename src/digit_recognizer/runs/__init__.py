"""A run's folder, its predictions and its figures."""
