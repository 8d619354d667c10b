"""Plain nn.Modules: flat typed arguments in, tensors out; no losses, no configs."""
