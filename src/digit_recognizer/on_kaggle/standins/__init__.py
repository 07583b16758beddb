"""Take the place of small packages where Kaggle's image lacks them; shadow none that is there."""
