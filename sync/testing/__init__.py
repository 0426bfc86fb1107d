"""To break a network of replicas on purpose, and to test what you build on one.

- `ReplicaMachine`: a Hypothesis state machine to inherit from, for aggregates of your own. It needs Hypothesis.
- `ChannelConformance`: the acceptance suite of channels, to inherit from, for transports of your own.
- `Network`: replicas and links, stepped by hand.
- `simulate`: a whole network from one seed (see `sync.testing.simulator`, and `python -m sync.testing`).
"""

from typing import TYPE_CHECKING, Any

from sync.testing.channels import ChannelConformance
from sync.testing.network import Network
from sync.testing.oracle import Found
from sync.testing.simulator import FAULTS, Outcome, simulate

if TYPE_CHECKING:
    from sync.testing.machine import ReplicaMachine

__all__ = ["FAULTS", "ChannelConformance", "Found", "Network", "Outcome", "ReplicaMachine", "simulate"]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is imported when it is asked for: the simulator runs without."""
    if name == "ReplicaMachine":
        from sync.testing.machine import ReplicaMachine

        return ReplicaMachine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
