"""What runs on Kaggle's machine: the script that `make kernel` uploads, and what it starts."""
