"""The page of `kubectl hostnetwork report`, loaded in a browser."""
