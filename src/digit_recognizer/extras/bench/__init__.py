"""Training speed beside a plain PyTorch loop."""
