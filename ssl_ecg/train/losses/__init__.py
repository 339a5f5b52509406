"""Losses of fine-tuning: of classes, of one class among several, of the challenge score, of numbers."""
