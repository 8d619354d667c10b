"""`retouch`, the command: options, what reads them, and one file a group of commands. Knows everything, and nobody knows it."""
