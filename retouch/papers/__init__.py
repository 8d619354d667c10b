"""Every table and figure of the five papers as data, and from one of them to a table of ours beside it; `registry` has them by name."""
