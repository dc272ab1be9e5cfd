"""The rule TooWide: what an exception allows and no pod uses."""

from typing import Any

import pytest

from hostnetwork_operator.decide import rules
from tests.unit.builders import IMAGE, PINNED, at, hne, host_path, planned, pod, seen
from tests.unit.decide.rules import judged

EXAMPLE = judged.example(hne(capabilities=("NET_ADMIN", "SYS_TIME")), pod(capabilities=frozenset({"NET_ADMIN"})))


@pytest.mark.parametrize(
    ("spec", "fields", "excess"),
    [
        ({"privileged": True}, {}, "privileged"),
        ({"host_namespaces": ("Network", "PID")}, {}, "host namespace PID"),
        (
            {"capabilities": ("NET_ADMIN", "SYS_TIME")},
            {"capabilities": frozenset({"NET_ADMIN"})},
            "capability SYS_TIME",
        ),
        ({"host_paths": ({"path": "/proc"},)}, {}, "host path /proc"),
        (
            {"host_paths": ({"path": "/", "read_only": False},)},
            {"host_paths": frozenset({host_path("/etc")})},
            "write access to /",
        ),
        ({"images": (IMAGE, PINNED)}, {}, f"image {PINNED}"),
    ],
)
def test_what_no_pod_uses_is_too_wide(spec: dict[str, Any], fields: dict[str, Any], excess: str) -> None:
    """The rule checks each thing that an exception names, but not while its pods are young, and not without pods."""
    subject = hne(**spec)
    (finding,) = [f for f in planned(seen(subject, pod(**fields))).findings if f.rule is rules.TOO_WIDE]
    assert ("warn", f"the exception allows more than the covered pods use: {excess}") == (
        finding.result,
        finding.sentence,
    )
    assert judged.result_of(rules.TOO_WIDE, subject, pod(**fields, created=at(minutes=-9))) == "skip"
    assert judged.result_of(rules.TOO_WIDE, subject) == "skip"


def test_a_young_pod_beside_an_old_one_does_not_end_the_judgement() -> None:
    """The age of the oldest pod counts, so the rule also judges an exception whose pods come and go all day."""
    subject = hne(privileged=True)
    assert judged.result_of(rules.TOO_WIDE, subject, pod("old"), pod("young", created=at(minutes=-1))) == "warn"


def test_a_path_that_is_named_read_only_is_used_by_reading() -> None:
    """Only a path that the exception lets its pods write can be too wide in this way."""
    subject = hne(host_paths=({"path": "/proc"},))
    assert judged.result_of(rules.TOO_WIDE, subject, pod(host_paths=frozenset({host_path("/proc")}))) == "pass"


def test_what_one_of_its_pods_uses_is_not_too_wide() -> None:
    """All pods count together. A mount below a path uses that path."""
    spec = {"privileged": True, "capabilities": ("NET_ADMIN",), "host_paths": ({"path": "/proc", "read_only": False},)}
    privileged_pod = pod("one", privileged=True, host_paths=frozenset({host_path("/proc/net", write=True)}))
    assert (
        judged.result_of(rules.TOO_WIDE, hne(**spec), privileged_pod, pod("two", capabilities=frozenset({"NET_ADMIN"})))
        == "pass"
    )
