"""Training on Kaggle's own GPU."""
