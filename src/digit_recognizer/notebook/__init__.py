"""What `make notebook` runs: a script with cells, for people who learn."""
