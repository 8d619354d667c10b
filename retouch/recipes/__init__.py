"""Recipes: functions that return a Run. One module per method file, one function per row of a table; `registry` has them by name."""
