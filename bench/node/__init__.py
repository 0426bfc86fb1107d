"""The peers that run in node: their packages, pinned in package.json, in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT = 180


def install(say: Callable[[str], None]) -> str:
    """Have the packages installed, if npm is there; why the node peers are left out, if they are."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return _left_out(say, "there is no node with npm on this machine")
    done = HERE / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= (HERE / "package.json").stat().st_mtime:
        return ""
    say("  installing the node peers (npm install in bench/node)")
    command = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
    try:
        subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=TIMEOUT, check=True)
        done.touch()
    except subprocess.TimeoutExpired:
        return _left_out(say, f"npm install took more than {TIMEOUT} s")
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip().splitlines() or ["it said nothing"]
        return _left_out(say, f"npm install failed: {words[-1]}")
    return ""


def versions() -> dict[str, str]:
    """What is installed."""
    found = {}
    for path in sorted((HERE / "node_modules").glob("**/package.json")):
        relative = path.parent.relative_to(HERE / "node_modules").as_posix()
        if relative in WANTED:
            found[relative] = path.read_text().split('"version"')[1].split('"')[1]
    return found


WANTED = ("yjs", "y-websocket", "@y/websocket-server", "@automerge/automerge", "@automerge/automerge-repo", "ws")


def _left_out(say: Callable[[str], None], why: str) -> str:
    say(f"  THE NODE PEERS ARE LEFT OUT: {why}")
    return why
