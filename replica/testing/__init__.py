"""To test what you build on Anabranch: that an aggregate converges, that a log backend holds its port.

    from replica.testing import assert_converges

    def test_my_aggregate_converges():
        assert_converges(ShoppingList)

It needs Hypothesis: `pip install anabranch[testing]`.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("replica.testing needs Hypothesis: pip install 'anabranch[testing]'")

from replica.scenario import Scenario, ScenarioError
from replica.step import Hear, Write
from replica.testing.converge import Diverged, assert_converges, replay
from replica.testing.laws import BrokenLaw, check_lattice
from replica.testing.logs import LogConformance
from replica.testing.strategies import events_of, scenarios

__all__ = [
    "BrokenLaw",
    "Diverged",
    "Hear",
    "LogConformance",
    "Scenario",
    "ScenarioError",
    "Write",
    "assert_converges",
    "check_lattice",
    "events_of",
    "replay",
    "scenarios",
]
