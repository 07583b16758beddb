from support.desk import desk, home, kaggle, key

__all__ = ["desk", "home", "kaggle", "key"]
