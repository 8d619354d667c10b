"""Pure measures: arrays in, numbers out. Functions are named by their arrow."""
