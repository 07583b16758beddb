"""The workflow as a notebook."""
