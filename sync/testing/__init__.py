"""To break a whole network of replicas on purpose: a simulator with one seed (see `sync.testing.simulator`), and
scenarios that are played from a file (see `replica.scenario`)."""

from sync.testing.alone import play
from sync.testing.director import Director, Happened, Report, app_of
from sync.testing.ledger import Found
from sync.testing.simulator import Outcome, simulate
from sync.testing.stage import Stage, View, Ways, Wrote, reading, refusal
from sync.testing.weather import FAULTS

__all__ = [
    "FAULTS",
    "Director",
    "Found",
    "Happened",
    "Outcome",
    "Report",
    "Stage",
    "View",
    "Ways",
    "Wrote",
    "app_of",
    "play",
    "reading",
    "refusal",
    "simulate",
]
