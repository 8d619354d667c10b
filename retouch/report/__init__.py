"""Pages and figures that open offline."""
