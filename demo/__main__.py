"""`python -m demo partition` and `python -m demo orders`: what Anabranch does, with real processes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict

import msgspec
from rich.console import Console

from demo.orders import Outcome, orders
from demo.partition import NAMES, Verdict, partition
from demo.process import WorkerFailed
from demo.telling import Teller


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Anabranch, shown on this machine.")
    stories = parser.add_subparsers(dest="story", required=True)
    parting = stories.add_parser("partition", help="replicas part, write on, and meet again")
    parting.add_argument(
        "--replicas", type=int, default=3, metavar="N", choices=range(2, len(NAMES) + 1),
        help=f"how many processes (2 to {len(NAMES)}; 3 unless said)",
    )  # fmt: skip
    parting.add_argument("--seed", type=int, help="the same ids, times and presents in every run")
    parting.add_argument(
        "--broken", action="store_true", help="with an aggregate that does not converge: ends with an alarm"
    )
    selling = stories.add_parser("orders", help="a shop at three places: a crash, an oversell, and its repair")
    for story in (parting, selling):
        story.add_argument("--json", action="store_true", help="say nothing but one JSON object at the end")
    arguments = parser.parse_args()
    teller = Teller(None if arguments.json else Console())
    try:
        verdict: Verdict | Outcome
        if arguments.story == "orders":
            verdict = asyncio.run(orders(teller))
        else:
            verdict = asyncio.run(partition(arguments.replicas, arguments.seed, teller, broken=arguments.broken))
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
