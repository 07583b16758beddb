"""One module for each Make target. They never import each other: they speak through files."""
