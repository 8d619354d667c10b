"""How a translation is scored: one measure a file, protocols that apply them, and the card that records what was done."""
