"""The protocol, without a network: what two sessions say, and what they make of it."""

from __future__ import annotations

from tests.network import NOW, YEAR, Network
from tests.shop import HOME, AddItem


def heads(network):
    return [node.replica.heads for node in network.nodes.values()]


def test_a_lost_hello_is_said_again():
    """One side knows the other, the other never heard: the next tick begins again."""
    network = Network("ab", ["ab"])
    network.nodes["a"].replica.execute(HOME, AddItem("milk"), NOW)
    network.heal("ab")
    network.wire("ab", "a").popleft()
    network.settle(ticks=2)
    assert heads(network)[0] == heads(network)[1] != []
