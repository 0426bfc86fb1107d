"""`python -m demo partition`: replicas part, write on, and meet again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict

import msgspec
from rich.console import Console

from demo.partition import NAMES, partition
from demo.process import WorkerFailed
from demo.telling import Teller


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Anabranch, shown on this machine.")
    stories = parser.add_subparsers(dest="story", required=True)
    story = stories.add_parser("partition", help="replicas part, write on, and meet again")
    story.add_argument(
        "--replicas", type=int, default=3, metavar="N", choices=range(2, len(NAMES) + 1),
        help=f"how many processes (2 to {len(NAMES)}; 3 unless said)",
    )  # fmt: skip
    story.add_argument("--seed", type=int, help="the same ids, times and presents in every run")
    story.add_argument("--json", action="store_true", help="say nothing but one JSON object at the end")
    arguments = parser.parse_args()
    teller = Teller(None if arguments.json else Console())
    try:
        verdict = asyncio.run(partition(arguments.replicas, arguments.seed, teller))
    except WorkerFailed as failure:
        print(f"The story broke off: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        print(msgspec.json.encode(asdict(verdict)).decode())
    return 0 if verdict.converged else 1


if __name__ == "__main__":
    sys.exit(main())
