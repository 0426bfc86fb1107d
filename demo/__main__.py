"""`python -m demo partition`, `orders`, `play FILE`, `lessons`, `web`: what Anabranch does, with real processes."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec
from rich.console import Console

from demo.lessons import LESSONS, lesson, scenario_called
from demo.lessons_terminal import lead
from demo.orders import Outcome, orders
from demo.partition import NAMES, Verdict, partition
from demo.playing import in_process, tell_end, with_processes
from demo.process import WorkerFailed
from demo.telling import Teller
from demo.web.story import PortTaken, show
from replica.app import NoSuchApp
from replica.data import to_json
from replica.scenario import Scenario, ScenarioError
from sync.terminal import show_all


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
    playing = stories.add_parser("play", help="a scenario from a file (docs/scenarios.md)")
    playing.add_argument("file", help="the scenario; those of demo/scenarios by their names")
    playing.add_argument("--in-process", action="store_true", help="without processes, in no time")
    playing.add_argument(
        "-a", "--app", action="append", default=[], metavar="MODULE[:CLASS]",
        help="the aggregates, in place of those that the file names",
    )  # fmt: skip
    teaching = stories.add_parser("lessons", help="six lessons, step by step (docs/demo.md)")
    teaching.add_argument("lesson", nargs="?", help="its name or number, or a file; all unless said")
    watching = stories.add_parser("web", help="replicas that part and meet, in a browser")
    watching.add_argument(
        "--replicas", type=int, default=3, metavar="N", choices=range(2, 6), help="how many processes (2 to 5)"
    )
    watching.add_argument("--port", type=int, help="where the page is (8421 or any free one, unless said)")
    watching.add_argument("--browser", action="store_true", help="open the page as well")
    for story in (parting, selling, playing, teaching):
        story.add_argument("--json", action="store_true", help="say nothing but one JSON object at the end")
    show_all()
    arguments = parser.parse_args()
    tell = {"lessons": taught, "web": watched, "play": played}.get(arguments.story, told)
    try:
        return tell(arguments)
    except (ScenarioError, NoSuchApp) as error:
        print(error, file=sys.stderr)
        return 2
    except WorkerFailed as failure:
        print(f"It broke off: {failure}", file=sys.stderr)
        return 1
    except PortTaken as taken:
        print(taken, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


# Each returns 0 where all went as it should, and 1 where not. What raises is told by `main`, which returns 2 for
# a file or a name that makes no sense.


def told(arguments: argparse.Namespace) -> int:
    """A story from its beginning to its end."""
    teller = teller_of(arguments)
    verdict: Verdict | Outcome
    if arguments.story == "orders":
        verdict = asyncio.run(orders(teller))
    else:
        verdict = asyncio.run(partition(arguments.replicas, arguments.seed, teller, broken=arguments.broken))
    if arguments.json:
        print(to_json(verdict))
    return 0 if verdict.converged else 1


def taught(arguments: argparse.Namespace) -> int:
    """The lessons, or one."""
    lessons = LESSONS if arguments.lesson is None else (lesson(arguments.lesson),)
    return lead(lessons, as_json=arguments.json)


def watched(arguments: argparse.Namespace) -> int:
    """The network in a browser, until somebody ends it."""
    asyncio.run(show(arguments.replicas, arguments.port, browser=arguments.browser))
    return 0


def played(arguments: argparse.Namespace) -> int:
    """A scenario from a file."""
    teller = teller_of(arguments)
    scenario = Scenario.read(scenario_called(arguments.file))
    teller.chapter(scenario.title, scenario.text)
    if arguments.in_process:
        report = in_process(scenario, arguments.app, teller)
    else:
        report = asyncio.run(with_processes(scenario, arguments.app, teller))
    tell_end(report, scenario.rule, teller)
    if arguments.json:
        plain = {"held": report.held, "converged": report.converged, **msgspec.to_builtins(report)}
        print(to_json(plain))
    return 0 if report.held else 1


def teller_of(arguments: argparse.Namespace) -> Teller:
    return Teller(None if arguments.json else Console())


if __name__ == "__main__":
    sys.exit(main())
