"""To break a whole network of replicas on purpose: a simulator with one seed (see `sync.testing.simulator`)."""

from sync.testing.ledger import Found
from sync.testing.simulator import Outcome, simulate
from sync.testing.weather import FAULTS

__all__ = ["FAULTS", "Found", "Outcome", "simulate"]
