"""A Kaggle Digit Recognizer pipeline: download, train, check, submit."""

__version__ = "0.1.0"
