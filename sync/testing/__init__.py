"""To break a whole network of replicas on purpose: a simulator with one seed (see `sync.testing.simulator`)."""

from sync.testing.oracle import Found
from sync.testing.simulator import FAULTS, Outcome, simulate

__all__ = ["FAULTS", "Found", "Outcome", "simulate"]
