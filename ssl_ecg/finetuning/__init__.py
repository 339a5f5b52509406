"""Fine-tuning: from labels, and perhaps a checkpoint, to a model and its figures."""
