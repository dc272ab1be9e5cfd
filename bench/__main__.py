"""`make bench`: benchmarks on real control planes, with the operator as a separate process with only its own token.

The table goes to stdout, progress to stderr, every single value to a JSON file. A missed goal is shown but is not a
failure. The exit status is 1 only if a measurement failed.
"""

import argparse
import dataclasses
import functools
import pathlib
import sys
import traceback
from collections.abc import Callable

from tests.controlplane import api, binary, cluster

from bench import (
    admission,
    change,
    command,
    debug,
    detection,
    expiry,
    figures,
    granting,
    limit,
    memory,
    refused,
    report,
    startup,
    steady,
)
from bench.world import OFFENDERS, World, say

# In this order: measures that need a quiet cluster come first.
_ON_A_WORLD: dict[str, Callable[[World], list[figures.Row]]] = {
    "start": startup.measure,
    "steady": steady.measure,
    "detection": detection.measure,
    "granting": granting.measure,
    "refused": refused.measure,
    "expiry": expiry.singles,
    "burst": expiry.bursts,
    "command": command.measure,
    "debug": debug.measure,
}
_NAMES = (*_ON_A_WORLD, "change", "memory", "limit", "admission")
_SIZES = (1000, 5000)
_CROWD = (50_000,)
_FLEETS = (40_000,)
_EXPLAINED = """\
the measures (--only, may be repeated):
  start      process start -> /readyz, all 50 offenders labelled and reported; writes, CPU, memory      (20 s)
  steady     60 s in which nothing changes; 200 ordinary pods are created; 60 s of the operator's clock (2 min)
  detection  uncovered pod created -> label, Event, metric, in Held and in Audit namespaces             (1 min)
  granting   exception applied -> a pod under the exception is admitted                                 (20 s)
  refused    DaemonSet created whose pods are refused -> Event with the remedy on the DaemonSet         (40 s)
  expiry     expiry -> namespace restored and DELETE sent, one expiry per second                        (1 min)
  burst      the same for 100 and for 500 expiries in the same second                                   (4 min)
  command    kubectl hostnetwork: status, exceptions, report, check, help and completion                (1 min)
  debug      kubectl hostnetwork debug: exception of the session -> attached                            (1 min)
  change     one plan after one pod has changed, with 10 to 5,000 pods and 1 to 64 exceptions; no cluster    (20 s)
  memory     RSS at 50,000 pods, 1 of 50 an offender, while all are listed again; detection there       (6 min)
  limit      5,000 nodes, 150,000 pods, 40,000 (--pods) of them host pods: start, rollout, quiet time   (16 min)
  admission  what the policies add to creating a pod, three control planes side by side                 (5 min)
The first nine run once for every size in --pods, on a separate control plane for each size.

examples:
  make bench
  python -m bench --pods 1000 --only detection
  python -m bench --only admission --out /tmp/admission.json

how to read the figures: bench/README.md
"""


class _Run:
    """The rows so far, and the measurements that failed."""

    def __init__(self) -> None:
        self.rows: list[figures.Row] = []
        self.failed: dict[str, str] = {}

    def add(self, name: str, pods: int | None, measure: Callable[[], list[figures.Row]]) -> None:
        """Run one measure. A failure does not prevent the other measures."""
        say(f"--- {name}{f', {pods} pods' if pods else ''}")
        try:
            self.rows += [dataclasses.replace(row, pods=pods) for row in measure()]
        except (AssertionError, OSError, api.ConnectionFailedError, cluster.NotReadyError) as error:
            traceback.print_exc()
            self.failed[f"{name} {pods or ''}".strip()] = str(error)

    def on_a_world(self, pods: int, names: list[str]) -> None:
        with World(pods) as world:
            if "start" not in names:
                world.operator.start()
            for name in names:
                self.add(name, pods, functools.partial(_ON_A_WORLD[name], world))


def main() -> int:
    arguments = _parser().parse_args()
    names = [name for name in _NAMES if name in (arguments.only or _NAMES)]
    circumstances = report.circumstances()
    run = _Run()
    path = arguments.out or report.default_path()
    try:
        binary.find_or_build()
        _measure(run, names, arguments.pods)
    except (binary.BuildError, cluster.NotReadyError) as error:
        run.failed["the control plane"] = str(error)
    except KeyboardInterrupt:
        run.failed["the rest"] = "interrupted"
    finally:
        report.write(path, circumstances, run.rows, run.failed)
    print(figures.table(run.rows))
    print(f"\nevery value: {path}")
    for name, failure in run.failed.items():
        print(f"could not be measured: {name}: {failure}", file=sys.stderr)
    return 1 if run.failed else 0


def _measure(run: _Run, names: list[str], sizes: list[int] | None) -> None:
    on_a_world = [name for name in names if name in _ON_A_WORLD]
    for pods in sizes or _SIZES if on_a_world else []:
        run.on_a_world(pods, on_a_world)
    if "change" in names:
        run.add("change", None, change.measure)
    for pods in sizes or _CROWD if "memory" in names else []:
        run.add("memory", pods, functools.partial(memory.measure, pods))
    for agents in sizes or _FLEETS if "limit" in names else []:
        run.add("limit", agents, functools.partial(limit.measure, agents))
    if "limit" in names:
        run.rows += limit.curve([row for row in run.rows if row.what.startswith("limit")])
    if "admission" in names:
        run.add("admission", None, admission.measure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pods",
        type=_sizes,
        metavar="N,N",
        help=f"sizes of the cluster in pods, {OFFENDERS} of which are uncovered host-namespace pods (1000,5000; memory:"
        " 50000, and 1 of 50)",
    )
    parser.add_argument(
        "--only", action="append", choices=_NAMES, metavar="NAME", help="run only this measure; see below"
    )
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the JSON file (bench/results/<time>.json)")
    return parser


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < OFFENDERS:
        raise argparse.ArgumentTypeError(f"must be numbers of at least {OFFENDERS}, separated by commas, got {text!r}")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
