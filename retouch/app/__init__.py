"""The page of `retouch app` and the HTTP API under it: the server owns the pixels, a browser sends masks and numbers."""
