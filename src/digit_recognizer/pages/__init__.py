"""What a person reads: the report on the screen and in the browser."""
