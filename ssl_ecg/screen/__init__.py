"""Anomaly detectors on embeddings."""
