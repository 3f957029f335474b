"""Simulated data: seeded sample chains, faults put into a history, and the files of a replay.

`write_sample` writes a chain in Kaggle's files, `write_restaurants` one in files of its own with a chain.toml.

Inside, arrays are [days, stores], the order in which
Kaggle writes, and effects are in log sales. Tables hold rounded means of the real chain; `chain_statistics` compares
a sample with it (data/README.md).
"""

from rossmann.simulation.faults import FAULTS, inject_fault
from rossmann.simulation.replay_files import write_replay_files
from rossmann.simulation.restaurant_files import write_restaurants
from rossmann.simulation.sample import write_sample
from rossmann.simulation.similarity import chain_statistics

__all__ = ["FAULTS", "chain_statistics", "inject_fault", "write_replay_files", "write_restaurants", "write_sample"]
