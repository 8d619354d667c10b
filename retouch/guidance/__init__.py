"""Where a mask comes from. The mechanisms share a data type (Mask), not a call signature."""
