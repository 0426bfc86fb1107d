"""To break a network of replicas on purpose, and to test what you build on one.

- `ReplicaMachine`: a Hypothesis state machine to inherit from, for aggregates of your own. It needs Hypothesis.
- `ChannelConformance`: the acceptance suite of channels, to inherit from, for transports of your own.
- `play`: a scenario from a file (see `replica.scenario`); `Director` and `Stage` are for players of your own.
- `Network`: replicas and links, stepped by hand.
- `simulate`: a whole network from one seed (see `sync.testing.simulator`, and `python -m sync.testing`).
"""

from typing import TYPE_CHECKING, Any

from sync.testing.alone import play
from sync.testing.channels import ChannelConformance
from sync.testing.director import Director, Happened, Report, app_of
from sync.testing.ledger import Found
from sync.testing.network import Network
from sync.testing.simulator import Outcome, simulate
from sync.testing.stage import Stage, View, Ways, Wrote, reading, refusal
from sync.testing.weather import FAULTS

if TYPE_CHECKING:
    from sync.testing.machine import ReplicaMachine

__all__ = [
    "FAULTS",
    "ChannelConformance",
    "Director",
    "Found",
    "Happened",
    "Network",
    "Outcome",
    "ReplicaMachine",
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


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is imported when it is asked for: the simulator runs without."""
    if name == "ReplicaMachine":
        from sync.testing.machine import ReplicaMachine

        return ReplicaMachine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
