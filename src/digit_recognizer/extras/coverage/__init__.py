"""Coverage of the prediction interval."""
