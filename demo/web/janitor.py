"""Removes the files of the demo network when all its processes have ended, however they ended.

Whoever lives holds the other end of a pipe; the pipe ends with the last of them. So nothing is left behind by a
server that was killed, either.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def kept(prefix: str = "anabranch-web-") -> AsyncIterator[tuple[Path, int]]:
    """A folder, and the pipe that all who use it have to inherit. It is gone afterwards."""
    here, there = os.pipe()
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        janitor = await asyncio.create_subprocess_exec(
            sys.executable, "-I", __file__, folder, stdin=here, stdout=asyncio.subprocess.DEVNULL, process_group=0
        )
    except BaseException:
        os.rmdir(folder)
        os.close(there)
        raise
    finally:
        os.close(here)
    try:
        yield Path(folder), there
    finally:
        os.close(there)
        await asyncio.shield(janitor.wait())


def main() -> None:
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # it ends when there is nobody left
    sys.stdin.buffer.read()
    shutil.rmtree(sys.argv[1])


if __name__ == "__main__":
    main()
