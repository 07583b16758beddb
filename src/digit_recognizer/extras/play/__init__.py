"""Draw a digit in the browser."""
