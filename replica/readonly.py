"""`ReadOnly`: the file of a replica, read beside whoever writes to it.

Rule 1. It is the replica as it was when it was opened: what is written meanwhile is beyond its version.
Rule 2. Nothing is written, locked or folded for good; the writer does not notice. (Where the last writer crashed,
        SQLite itself may move what that had written from its write-ahead log into the file.)
Rule 3. Who may not write there reads all the same: a backup, a read-only disk, the file of another person.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from random import SystemRandom

from replica.backend import connected
from replica.beside import read_beside
from replica.core import Core
from replica.decider import Decider
from replica.errors import StoreError
from replica.files import file_at, kind_of, told
from replica.projection import Projection
from replica.schemas import check_schemas
from replica.sqlite import SqliteReader
from replica.travel import TimeTravel


class ReadOnly(TimeTravel):
    """A replica's file, to look into. Open it with `async with ReadOnly.open("alice.db", aggregates=[...])`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        aggregates: Iterable[type[Decider]] = (),
        projections: Iterable[type[Projection]] = (),
    ) -> AsyncIterator[ReadOnly]:
        """The file at `path` as it is now. History needs no aggregates; presents do; tables need projections.

        Raises StoreError where there is no such file or it cannot be read, WrongFormat, DamagedLog.
        """
        place = file_at(path)
        with told(place):
            found = kind_of(place)
        if found is None:
            raise StoreError(
                f"there is no file {path}. Nothing was made: a file is begun by opening a replica on it."
            )
        async with connected(SqliteReader(place)) as backend:
            contents = await backend.run(lambda log: log.contents())
            if contents.identity is None:
                raise StoreError(f"{path} holds no replica yet: it was begun, and never opened to the end")
            identity = contents.identity
            beside = await backend.run(read_beside)
            core = Core(
                identity.store,
                aggregates,
                contents,
                identity,
                SystemRandom(),
                projections=projections,
                beside=beside,
            )
            await backend.run(lambda log: check_schemas(core, log))
            core.begin()
            core.transaction()  # what follows from facts is known
            core.settle()  # in memory: nothing is written
            yield cls(core, backend)
