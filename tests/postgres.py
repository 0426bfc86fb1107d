"""A PostgreSQL server for one test: its own cluster in a folder, on a socket, ended with the test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Where the server's programs are, if it is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


def _as_somebody() -> dict[str, int]:
    """The server refuses to run as root: then it runs as the user that the package made, or nobody."""
    if os.geteuid() != 0:
        return {}
    names = {one.pw_name: one for one in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A running server; its connection string."""
    programs = binaries()
    assert programs is not None
    somebody = _as_somebody()
    folder.mkdir()
    if somebody:
        os.chown(folder, somebody["user"], somebody["group"])
    data = folder / "data"
    quiet = {"cwd": folder, "capture_output": True, "check": True, "timeout": 60, **somebody}
    subprocess.run([programs / "initdb", "-D", data, "-U", "shop", "-A", "trust", "--no-sync"], **quiet)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], **quiet)
    try:
        yield f"host={folder} user=shop dbname=postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
