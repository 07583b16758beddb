"""Kaggle's official client: credentials, download, upload, ledger."""
