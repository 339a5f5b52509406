"""Simulated 12-lead ECGs with known findings."""

from ssl_ecg.data.simulate.corpus import SimulatedCorpus
from ssl_ecg.data.simulate.records import simulate, simulate_records

__all__ = ["SimulatedCorpus", "simulate", "simulate_records"]
