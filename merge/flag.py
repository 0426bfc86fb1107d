"""Flag: on or off, and enabling wins.

When one person enables and another disables at once, the flag is on: disabling takes back only the
enablings it had seen.

Enable: forget, say. Disable: forget. Reading: is anything said?

Source: Almeida, Shoker, Baquero 2018 (enable-wins flag).
"""

from __future__ import annotations

from merge.effect import Effect, forget, replace
from merge.lattice import Lattice


class Flag(Lattice):
    """A boolean; off where nobody has enabled it."""

    rule = "enabling wins: it is on unless every enabling was seen by a disabling"

    def enable(self) -> Effect:
        return replace(self._path, True)

    def disable(self) -> Effect:
        return forget(self._path)

    @property
    def value(self) -> bool:
        return bool(self.state.said)

    def __bool__(self) -> bool:
        return self.value
