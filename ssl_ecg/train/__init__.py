"""Training with Lightning, checkpoints."""
