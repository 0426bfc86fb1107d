"""The garbage collector waits for a fold or a read, and is left as it was found."""

from __future__ import annotations

import gc

import pytest

from replica.uncollected import uncollected


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_the_collector_is_left_as_it_was_found(on, raises):
    """On or off, whether the work ends well or not; off in between, also in work within work."""
    seen = []

    @uncollected
    def inner():
        seen.append(gc.isenabled())

    @uncollected
    def outer():
        inner()
        seen.append(gc.isenabled())
        if raises:
            raise ValueError

    (gc.enable if on else gc.disable)()
    try:
        try:
            outer()
        except ValueError:
            assert raises
        assert gc.isenabled() == on
    finally:
        gc.enable()
    assert seen == [False, False]
