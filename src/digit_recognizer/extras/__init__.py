"""Optional features, each in a folder of its own."""
