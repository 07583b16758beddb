"""Training on Kaggle's own GPU. Kaggle imports this too, and lacks cyclopts."""
