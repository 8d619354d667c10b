"""The training engine: executes Updates, owns optimisers, EMA, state, logs and launch."""
