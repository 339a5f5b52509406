"""Heads on frozen embeddings: linear, k nearest neighbours, ridge; runs of them on tasks and splits."""
