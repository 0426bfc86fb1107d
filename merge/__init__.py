"""The algebra: versions, stamps, the kernel, lattices, folds. Pure values and functions.

Read in this order: `version`, `stamp`, `effect`, `kernel`, `flat`, `tree`, `lattice`, then any lattice.
"""

from merge.counter import GCounter, PNCounter
from merge.effect import NO_EFFECT, Effect, InvalidKey
from merge.flag import Flag
from merge.kernel import Past, fold, meet, merge
from merge.lattice import Lattice, StateNotGiven
from merge.maps import ORMap
from merge.product import Product
from merge.register import LWWRegister, MVRegister
from merge.sets import AWSet, RWSet
from merge.stamp import Stamp
from merge.text import Text
from merge.version import NOTHING, Dot, Order, ReplicaId, VersionVector

__all__ = [
    "NOTHING",
    "NO_EFFECT",
    "AWSet",
    "Dot",
    "Effect",
    "Flag",
    "GCounter",
    "InvalidKey",
    "LWWRegister",
    "Lattice",
    "MVRegister",
    "ORMap",
    "Order",
    "PNCounter",
    "Past",
    "Product",
    "RWSet",
    "ReplicaId",
    "Stamp",
    "StateNotGiven",
    "Text",
    "VersionVector",
    "fold",
    "meet",
    "merge",
]
