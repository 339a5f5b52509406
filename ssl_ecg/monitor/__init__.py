"""Watching long recordings and live streams: states, unusual beats and windows, episodes."""
