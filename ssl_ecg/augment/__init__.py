"""Batched augmentations in torch."""
