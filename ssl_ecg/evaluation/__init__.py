"""Evaluation of encoders, callables and fine-tuned runs by a protocol."""
