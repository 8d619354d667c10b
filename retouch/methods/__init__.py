"""One file per published system; `registry` has them by id."""
