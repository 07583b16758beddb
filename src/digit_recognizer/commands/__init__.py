"""One module for each command: its flags, what it does and what it prints."""
