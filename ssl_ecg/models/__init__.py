"""Backbones and encoders."""
