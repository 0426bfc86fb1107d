"""`anabranch`: a replica's file, from a terminal.

Rule 1. Commands that read open the file read-only, beside whoever writes to it. Those that write (join, serve,
        sync) say who holds it, if somebody does.
Rule 2. What a command finds goes to standard output. All else (errors, how far a long work has come) goes to
        standard error, and progress only where that is a terminal.
Rule 3. History needs nothing but the file. Presents need the aggregates that fold them: `--app shop:Order`, or a
        module in which they are defined, or ANABRANCH_APP.
Rule 4. Nothing is imported from the working directory, which may hold anything, unless an app is named; then it is
        the last place that is looked into.
Rule 5. It prints to its end in any locale: see `sync.terminal`. JSON is ASCII, and exports are UTF-8.
Rule 6. The exit code says how it ended (see EXITS). An error is one sentence or two, and never a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from merge.version import printable
from replica.app import load
from replica.errors import (
    AnabranchError,
    FileInUse,
    NoSuchPlace,
    NotObserved,
    StoreError,
    UnknownStream,
)
from replica.readonly import ReadOnly
from sync import commands as do
from sync.errors import ProtocolError
from sync.formats import FORMATS
from sync.node import Node
from sync.terminal import show_all

EXITS = """\
exit codes: 0 done; 1 something differs or went wrong; 2 the command line makes no sense; 3 there is no such past,
event, stream or place; 4 another process has the file; 5 the file cannot be used; 6 the peer cannot be reached or
broke a rule; 130 interrupted

environment: ANABRANCH_APP, as --app (several with commas between); ANABRANCH_TOKEN, what peers must know (or it
stands in a file: --token-file)"""
DIFFERS, USAGE, NOT_THERE, IN_USE, UNUSABLE, PEER, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130


class Misused(Exception):
    """The command line makes no sense, in a way that argparse cannot see."""


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="anabranch", description="Look into a replica's file, travel in it, fork and join it, serve it.",
        epilog=EXITS, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    kinds = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")

    def command(run: Any, *, writes: bool = False, cut: bool = True) -> argparse.ArgumentParser:
        made = kinds.add_parser(run.__name__.replace("_", "-"), help=run.__doc__, description=run.__doc__)
        made.add_argument("file", metavar="FILE", help="the file of a replica")
        made.add_argument("--json", action="store_true", help="JSON instead of lines for people")
        made.add_argument(
            "-a", "--app", action="append", metavar="MODULE[:CLASS]",
            default=[one for one in os.environ.get("ANABRANCH_APP", "").split(",") if one],
            help="where aggregates and projections are defined; may be given several times",
        )  # fmt: skip
        if cut:
            made.add_argument(
                "--at", default="now", metavar="CUT",
                help='a past: "alice:3 bob:7", "alice:3^", 2026-05-01T12:00Z; now unless given',
            )  # fmt: skip
        made.set_defaults(run=run, writes=writes)
        return made

    one = command(do.log)
    one.add_argument("--graph", action="store_true", help="draw who had observed what, one lane a replica")
    one.add_argument("--stream", action="append", default=[], metavar="S", help="only of this stream or category")
    _select(one)
    one.add_argument("-n", "--last", type=int, metavar="N", help="only the last N")
    command(do.show).add_argument("what", nargs="?", metavar="STREAM|EVENT", help="list/home, or alice:3")
    one = command(do.at, cut=False)
    one.add_argument("cut", metavar="CUT")
    one.add_argument("streams", nargs="*", metavar="STREAM")
    one = command(do.history)
    one.add_argument("stream", metavar="STREAM")
    _select(one)
    one = command(do.diff, cut=False)
    one.add_argument("stream", metavar="STREAM")
    one.add_argument("a", metavar="A", help="a past")
    one.add_argument("b", metavar="B", nargs="?", default="now", help="another one; now unless given")
    one = command(do.explain)
    one.add_argument("stream", metavar="STREAM")
    one.add_argument("path", nargs="?", default="", metavar="PATH", help="a field, or field/key; all unless given")
    command(do.conflicts).add_argument("streams", nargs="*", metavar="STREAM")
    one = command(do.fork)
    one.add_argument("new", metavar="NEW", help="the file to make")
    one.add_argument("--name", help="what the new replica is called; the name of its file unless given")
    command(do.backup, cut=False).add_argument("to", metavar="TO", help="the file to make")
    one = command(do.restore, cut=False)
    one.add_argument("to", metavar="PLACE", help="where to put it")
    one.add_argument("--replace", action="store_true", help="a file that lies there is kept under another name")
    one = command(do.join, writes=True, cut=False)
    one.add_argument("other", metavar="OTHER", help="the file to take in")
    one.add_argument("--become-one", action="store_true", help="if it is of another store: make one of the two")
    command(do.set_aside, writes=True, cut=False).add_argument("events", nargs="+", metavar="EVENT", help="bob:7")
    command(do.verify, cut=False).add_argument("streams", nargs="*", metavar="STREAM")
    command(do.status, cut=False)
    one = command(do.serve, writes=True, cut=False)
    one.add_argument("--host", default="127.0.0.1", help="where to listen; 127.0.0.1 unless given")
    one.add_argument("--port", type=int, default=0, help="0, and so any free one, unless given")
    one.add_argument(
        "--peer", dest="peers", action="append", default=[], metavar="URL", help="a peer to dial (ws://, wss://)"
    )
    _meet(one)
    one = command(do.sync, writes=True, cut=False)
    one.add_argument("url", metavar="URL", help="the address of a peer (ws://, wss://)")
    one.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds to try; 30 unless given")
    _meet(one)
    one = command(do.export)
    one.add_argument("--format", choices=sorted(FORMATS), required=True)
    kinds.add_parser("schema", help=do.schema.__doc__, description=do.schema.__doc__)
    return top


def _select(one: argparse.ArgumentParser) -> None:
    one.add_argument("--type", action="append", default=[], metavar="T", help="only events of this type")
    one.add_argument("--replica", action="append", default=[], metavar="R", help="only events of this replica")
    one.add_argument("--after", default="", metavar="CUT", help="only what is not in this past")


def _meet(one: argparse.ArgumentParser) -> None:
    one.add_argument("--store", help="what is replicated, for a file that is new")
    one.add_argument("--name", help="what the replica is called, for a file that is new")
    one.add_argument("--token-file", metavar="F", help="a file with the token that peers must know")
    one.add_argument(
        "--insecure",
        action="store_true",
        help="no TLS off loopback: a VPN keeps the link private (a token: --token-file, ANABRANCH_TOKEN)",
    )


def _leave_folder() -> None:
    """Take the working directory out of the path of modules, where `python -m` has put it (Rule 4)."""
    here, ours = os.path.realpath("."), os.path.realpath(Path(__file__).parent.parent)
    said = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    if here != ours and sys.path and os.path.realpath(sys.path[0]) == here and sys.path[0] not in said:
        del sys.path[0]


def _look_for(app: list[str]) -> None:
    """Let the modules of an app be found in the working directory, behind all others."""
    if app and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _token(args: argparse.Namespace) -> str | None:
    """What peers must know. It never stands in the command line, which others on the machine can read."""
    path = getattr(args, "token_file", None)
    if path is None:
        return os.environ.get("ANABRANCH_TOKEN")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"the token cannot be read from {path}: {error}") from error


async def _run(args: argparse.Namespace) -> int:
    if args.command == "schema":
        do.schema()
        return 0
    _look_for(args.app)
    aggregates, projections = load(args.app)
    if not args.writes:
        async with ReadOnly.open(args.file, aggregates=aggregates, projections=projections) as past:
            return await args.run(past, args) or 0
    store, name = getattr(args, "store", None), getattr(args, "name", None)
    if Path(args.file).exists():
        name = None
    elif not (store and name):
        raise Misused(
            f"there is no file {args.file}: to begin one, say what it replicates and who it is (--store, --name)"
        )
    met = {
        option: getattr(args, option) for option in ("host", "port", "peers", "insecure") if hasattr(args, option)
    }
    async with Node.open(
        args.file, store=store, name=name, aggregates=aggregates, projections=projections,
        token=_token(args), **met,
    ) as node:  # fmt: skip
        return await args.run(node, args) or 0


def main(words: list[str] | None = None) -> int:
    """Run one command; how it ended."""
    show_all()
    _leave_folder()
    args = parser().parse_args(words)
    try:
        ended = asyncio.run(_run(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return ended
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        hint = " Here that is: --app MODULE[:CLASS]." if isinstance(error, UnknownStream) else ""
        print(f"anabranch: {printable(str(error))}{hint}", file=sys.stderr)
        return code


def _code(error: Exception) -> int | None:
    """How an error ends the process; None where it is a bug."""
    kinds: list[tuple[type[Exception] | tuple[type[Exception], ...], int]] = [
        (Misused, USAGE),
        ((NotObserved, NoSuchPlace, UnknownStream), NOT_THERE),
        (FileInUse, IN_USE),
        ((StoreError, PermissionError), UNUSABLE),
        ((do.PeerAway, ProtocolError, ConnectionError), PEER),
        ((AnabranchError, OSError), DIFFERS),
        (ValueError, USAGE),
    ]
    return next((code for kind, code in kinds if isinstance(error, kind)), None)


if __name__ == "__main__":
    sys.exit(main())
