"""Whether an exception covers a pod: ten conditions in order, all of which one exception must meet."""

from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator.api import conditions, labels
from hostnetwork_operator.decide import coverage, snapshot, validity
from tests.unit.builders import IMAGE, IPC, NETWORK, NOW, PID, at, hne, host_path, pod

Condition = coverage.Criterion


def stand(name: str = "net", *, reason: conditions.Ready = conditions.Ready.ACTIVE, **spec: Any) -> validity.Standing:
    why = "in force" if reason is conditions.Ready.ACTIVE else f"withheld: {reason}"
    return validity.Standing(hne(name, **spec), reason, why)


EXPIRED: dict[str, Any] = {"reason": conditions.Ready.EXPIRED, "expiry": NOW}


def test_an_exception_covers_the_pod_that_it_names() -> None:
    """All ten conditions are met, so none of them failed."""
    result = coverage.covers(stand(), pod())
    assert result.covers
    assert (result.failed, result.why) == (None, "exception 'net' covers the pod")


# Each row breaks one condition and no other. Its pod meets every condition that comes before.
ONE_AT_A_TIME: list[tuple[Condition, dict[str, Any], dict[str, Any], str]] = [
    (Condition.NAMESPACE, {}, {"namespace": "other"}, "for namespace 'payments'"),
    (
        Condition.SERVICE_ACCOUNT,
        {},
        {"service_account": "default"},
        "for service account 'netdebug'; this pod runs as 'default'",
    ),
    (
        Condition.HOST_NAMESPACES,
        {},
        {"host_namespaces": frozenset({NETWORK, PID})},
        "host namespaces that the exception does not list: PID",
    ),
    (Condition.IMAGES, {}, {"images": frozenset({IMAGE, "evil:1"})}, "images that the exception does not list: evil:1"),
    (
        Condition.CAPABILITIES,
        {},
        {"capabilities": frozenset({"NET_ADMIN"})},
        "capabilities that the exception does not list: NET_ADMIN",
    ),
    (
        Condition.PRIVILEGED,
        {},
        {"privileged": True},
        "the pod is privileged, and the exception does not allow privileged containers",
    ),
    (
        Condition.HOST_PATHS,
        {},
        {"host_paths": frozenset({host_path("/proc")})},
        "host paths that the exception does not list: /proc (read)",
    ),
    (
        Condition.HOST_PORTS,
        {"type": "Application", "host_namespaces": ()},
        {"host_namespaces": frozenset(), "host_ports": True},
        "uses host ports",
    ),
    (
        Condition.CREATED_BEFORE_EXPIRY,
        {"expiry": at(minutes=-59)},
        {},
        "the exception ended at 2026-11-22T11:01:00Z, before the pod was created",
    ),
    (Condition.IN_FORCE, {"reason": conditions.Ready.GUARD_MISSING}, {}, "withheld: GuardMissing"),
]


@pytest.mark.parametrize(("failed", "spec", "fields", "why"), ONE_AT_A_TIME, ids=[c.name for c, *_ in ONE_AT_A_TIME])
def test_each_condition_alone_keeps_a_pod_uncovered(
    failed: Condition, spec: dict[str, Any], fields: dict[str, Any], why: str
) -> None:
    """One condition that is not met leaves the pod uncovered, and explains why."""
    result = coverage.covers(stand(**spec), pod(**fields))
    assert failed is result.failed
    assert not result.covers
    assert why in result.why
    assert labels.Verdict.UNCOVERED is coverage.judge(pod(**fields), [stand(**spec)], exempt=False).verdict


def test_there_is_a_row_for_each_condition() -> None:
    """The rows have the order of docs/explanation/architecture.md#coverage: namespace first, in force last."""
    assert list(Condition) == [condition for condition, *_ in ONE_AT_A_TIME]


@pytest.mark.parametrize("first", range(10), ids=[c.name for c in Condition])
def test_the_first_condition_that_fails_explains(first: int) -> None:
    """If this condition and all later ones are broken, the explanation names this one."""
    spec: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for _, more_spec, more_fields, _ in reversed(ONE_AT_A_TIME[first:]):
        spec |= more_spec
        fields |= more_fields
    assert list(Condition)[first] is coverage.covers(stand(**spec), pod(**fields)).failed


@pytest.mark.parametrize("used", [{NETWORK}, {PID}, {NETWORK, PID, IPC}])
def test_a_pod_may_use_fewer_host_namespaces(used: set[labels.HostNamespace]) -> None:
    """The host namespaces of an exception are an upper limit."""
    standing = stand(host_namespaces=("Network", "PID", "IPC"))
    assert coverage.covers(standing, pod(host_namespaces=frozenset(used))).covers


def test_an_exception_without_host_namespaces_covers_pods_without() -> None:
    """Such an exception covers no host-namespace pod, and an exception with host namespaces covers no other pod."""
    standing, plain_pod = stand(type="Application", host_namespaces=()), pod(host_namespaces=frozenset())
    assert coverage.covers(standing, plain_pod).covers
    assert Condition.HOST_NAMESPACES is coverage.covers(standing, pod()).failed
    assert Condition.HOST_NAMESPACES is coverage.covers(stand(), plain_pod).failed


def test_host_ports_come_with_host_namespaces_or_by_name() -> None:
    """The guard checks the ports of a host-namespace pod. A pod without host namespaces needs hostPorts: true."""
    assert coverage.covers(stand(), pod(host_ports=True)).covers
    standing = stand(type="Application", host_namespaces=(), host_ports=True)
    assert coverage.covers(standing, pod(host_namespaces=frozenset(), host_ports=True)).covers


def test_an_entry_may_list_any_tag_of_a_repository() -> None:
    """api.image compares the images of the pod with the entries."""
    standing = stand(type="Infrastructure", images=("registry.example.com/netshoot:*",))
    assert coverage.covers(standing, pod()).covers
    assert Condition.IMAGES is coverage.covers(standing, pod(images=frozenset({"other:1"}))).failed


def test_an_exception_without_images_covers_any() -> None:
    """An Infrastructure exception may leave the images open."""
    assert coverage.covers(stand(type="Infrastructure"), pod(images=frozenset({"what:ever"}))).covers


@pytest.mark.parametrize("image", [IMAGE + "1", IMAGE[:-1], "docker.io/" + IMAGE, IMAGE.upper()])
def test_images_are_exact(image: str) -> None:
    """A prefix, a default registry or another case does not match."""
    assert Condition.IMAGES is coverage.covers(stand(), pod(images=frozenset({image}))).failed


@pytest.mark.parametrize(
    ("level", "capability", "covered"),
    [
        ("baseline", "NET_BIND_SERVICE", True),
        ("baseline", "CHOWN", True),
        ("baseline", "SYS_CHROOT", True),
        ("baseline", "NET_RAW", False),
        ("baseline", "SYS_ADMIN", False),
        ("privileged", "CHOWN", True),
        ("privileged", "NET_ADMIN", False),
        ("restricted", "NET_BIND_SERVICE", True),
        ("restricted", "CHOWN", False),
    ],
)
def test_some_capabilities_need_no_naming(level: str, capability: str, covered: bool) -> None:
    """Restricted needs no naming of NET_BIND_SERVICE.

    Baseline and privileged need no naming of the capabilities on Baseline's list. Any other capability must be named.
    """
    result = coverage.covers(stand(pod_security_level=level), pod(capabilities=frozenset({capability})))
    assert covered is result.covers


def test_named_capabilities_come_on_top() -> None:
    """Named capabilities are allowed in addition to those that need no naming."""
    standing = stand(capabilities=("NET_ADMIN",))
    assert coverage.covers(standing, pod(capabilities=frozenset({"NET_ADMIN", "CHOWN"}))).covers


def test_all_is_no_capability_that_covers_others() -> None:
    """ALL must be named as ALL. ALL does not allow NET_ADMIN, and NET_ADMIN does not allow ALL."""
    assert not coverage.covers(stand(capabilities=("NET_ADMIN",)), pod(capabilities=frozenset({"ALL"}))).covers
    assert not coverage.covers(stand(capabilities=("ALL",)), pod(capabilities=frozenset({"NET_ADMIN"}))).covers


@pytest.mark.parametrize("allowed", [True, False])
def test_a_pod_need_not_be_privileged(allowed: bool) -> None:
    """`privileged: true` is an upper limit, not a duty."""
    assert coverage.covers(stand(privileged=allowed), pod(privileged=False)).covers
    assert allowed is coverage.covers(stand(privileged=allowed), pod(privileged=True)).covers


@pytest.mark.parametrize(
    ("path", "prefix", "inside"),
    [
        ("/var/lib", "/var/lib", True),
        ("/var/lib/kubelet", "/var/lib", True),
        ("/var/library", "/var/lib", False),
        ("/var", "/var/lib", False),
        ("/", "/var/lib", False),
        ("/etc", "/", True),
        ("/", "/", True),
        ("/var/lib/", "/var/lib", True),
        ("/var/lib", "/var/lib/", True),
        ("//var//lib", "/var/lib", False),
        ("/srv/var/lib", "/var/lib", False),
        ("/Var/lib", "/var/lib", False),
    ],
)
def test_a_host_path_holds_by_segment(path: str, prefix: str, inside: bool) -> None:
    """/var/lib contains /var/lib/kubelet, but not /var/library."""
    assert inside is coverage.within(path, prefix)


@pytest.mark.parametrize(
    ("read_only", "write", "covered"),
    [(True, False, True), (True, True, False), (False, True, True), (False, False, True)],
)
def test_a_read_only_path_is_not_written(read_only: bool, write: bool, covered: bool) -> None:
    """A path for reading does not cover a mount for writing. A path for writing covers a mount for reading."""
    standing = stand(host_paths=({"path": "/var/lib", "read_only": read_only},))
    result = coverage.covers(standing, pod(host_paths=frozenset({host_path("/var/lib/x", write=write)})))
    assert covered is result.covers


def test_a_writable_path_inside_a_read_only_one_can_be_named() -> None:
    """Each mount needs one entry that contains its path. Different mounts may use different entries."""
    standing = stand(host_paths=({"path": "/"}, {"path": "/run/x", "read_only": False}))
    mounts = frozenset({host_path("/etc"), host_path("/run/x/y", write=True)})
    assert coverage.covers(standing, pod(host_paths=mounts)).covers
    assert not coverage.covers(standing, pod(host_paths=mounts | {host_path("/etc/x", write=True)})).covers


def test_the_first_three_of_many_are_told() -> None:
    """A long list is in order, and ends with the number of items that are left out."""
    images = frozenset(f"evil:{number}" for number in range(5))
    assert "evil:0, evil:1, evil:2 and 2 more" in coverage.covers(stand(), pod(images=images)).why


@pytest.mark.parametrize(("seconds", "covered"), [(-1, True), (0, False), (1, False)])
def test_a_pod_born_in_the_second_of_the_expiry_is_not_covered(seconds: int, covered: bool) -> None:
    """The pod must be created before the expiry, not in the same second."""
    result = coverage.covers(stand(expiry=at(minutes=-5)), pod(created=at(minutes=-5, seconds=seconds)))
    assert covered is (result.failed is not Condition.CREATED_BEFORE_EXPIRY)


# -- verdicts -------------------------------------------------------------------------------------------------------


def judge(subject: snapshot.Pod, *standings: validity.Standing, exempt: bool = False) -> coverage.PodVerdict:
    return coverage.judge(subject, standings, exempt=exempt)


def test_two_exceptions_never_add_up() -> None:
    """Two exceptions that each cover a half leave the pod uncovered. One exception with both images covers the pod."""
    subject = pod(images=frozenset({"a:1", "b:2"}))
    halves = stand("a", images=("a:1",)), stand("b", images=("b:2",))
    assert labels.Verdict.UNCOVERED is judge(subject, *halves).verdict
    verdict = judge(subject, *halves, stand("whole", images=("a:1", "b:2")))
    assert (verdict.verdict, [e.metadata.name for e in verdict.exceptions]) == (labels.Verdict.COVERED, ["whole"])


def test_of_several_the_longest_counts() -> None:
    """An exception without an end is longer than every other."""
    several = [stand(name, expiry=at(hours=hours)) for name, hours in (("a", 2), ("b", 5), ("c", 3))]
    assert [e.metadata.name for e in judge(pod(), *several).exceptions] == ["b"]
    endless = stand("infra", type="Infrastructure", images=(IMAGE,))
    assert [e.metadata.name for e in judge(pod(), *several, endless).exceptions] == ["infra"]


def test_a_pod_without_any_exception_says_so() -> None:
    """Exceptions of other namespaces do not count."""
    verdict = judge(pod())
    assert (
        verdict.verdict,
        verdict.why,
        verdict.exceptions,
    ) == (labels.Verdict.UNCOVERED, "the namespace has no HostNetworkException", ())


def test_an_uncovered_pod_is_told_what_the_nearest_exception_lacks() -> None:
    """The nearest exception is the one whose failed condition comes last in the order."""
    far = stand("far", service_account_name="other")
    near = stand("near", images=("other:1",))
    assert "Closest: 'near' (the pod uses images" in judge(pod(), far, near).why


def test_expired_means_everything_but_the_time() -> None:
    """An exception covers the pod in everything, except that its expiry has passed."""
    verdict = judge(pod(), stand(**EXPIRED))
    assert labels.Verdict.EXPIRED is verdict.verdict
    assert verdict.why == "exception 'net' ended at 2026-11-22T12:00:00Z"


@pytest.mark.parametrize("expiry", [at(minutes=-59), at(minutes=-60), at(days=-1)])
def test_an_expiry_moved_to_before_the_birth_leaves_the_pod_uncovered(expiry: Any) -> None:
    """The exception never covered this pod, so the pod is not deleted when the exception ends."""
    verdict = judge(pod(), stand(reason=conditions.Ready.EXPIRED, expiry=expiry))
    assert (verdict.verdict, verdict.exceptions) == (labels.Verdict.UNCOVERED, ())


@pytest.mark.parametrize(
    "fields", [fields for failed, _, fields, _ in ONE_AT_A_TIME if fields], ids=lambda fields: next(iter(fields))
)
def test_an_expired_exception_that_lacks_more_does_not_count(fields: dict[str, Any]) -> None:
    """A pod that the exception would not have covered anyway is Uncovered."""
    assert labels.Verdict.UNCOVERED is judge(pod(**fields), stand(**EXPIRED)).verdict


WITHHELD = [r for r in conditions.Ready if r not in {"Active", "ApprovalUnproven", "Expired"}]


@pytest.mark.parametrize("reason", WITHHELD)
def test_withheld_is_not_expired(reason: conditions.Ready) -> None:
    """An exception that is not in force for any other reason leaves the pod Uncovered, also after its expiry."""
    assert labels.Verdict.UNCOVERED is judge(pod(), stand(reason=reason, expiry=NOW)).verdict


@pytest.mark.parametrize("reason", WITHHELD)
def test_an_exception_that_is_withheld_spares_the_pods_of_one_that_has_expired(reason: conditions.Ready) -> None:
    """The reason for withholding may pass, and a deleted pod does not come back.

    The verdict names the withheld exception.
    """
    verdict = judge(pod(), stand("over", **EXPIRED), replace(stand("on", reason=reason), spares=True))
    assert (verdict.verdict, verdict.exceptions) == (labels.Verdict.UNCOVERED, ())
    assert verdict.why.startswith("no exception covers the pod. Closest: 'on', which is not in force: ")


@pytest.mark.parametrize(
    "other",
    [
        stand("refused", reason=conditions.Ready.NOT_APPROVED),
        replace(stand("lacks", images=("other:1",), reason=conditions.Ready.INVALID), spares=True),
        replace(stand("ended", reason=conditions.Ready.INVALID, expiry=at(minutes=-1)), spares=False),
    ],
    ids=["not approved", "does not fit", "over too"],
)
def test_no_other_exception_spares(other: validity.Standing) -> None:
    """An exception that nobody approved, that lacks something, or that has ended spares no pod."""
    assert judge(pod(), stand("over", **EXPIRED), other).verdict is labels.Verdict.EXPIRED


def test_another_exception_in_force_keeps_a_pod_covered() -> None:
    """The end of one exception does not end the other."""
    verdict = judge(pod(), stand("over", **EXPIRED), stand("on"))
    assert (verdict.verdict, [e.metadata.name for e in verdict.exceptions]) == (labels.Verdict.COVERED, ["on"])


def test_all_expired_exceptions_are_named_in_order() -> None:
    """Whether the operator deletes a pod depends on all expired exceptions that fit the pod."""
    verdict = judge(pod(), stand("b", **EXPIRED), stand("a", **EXPIRED), stand("no", images=("x:1",), **EXPIRED))
    assert [e.metadata.name for e in verdict.exceptions] == ["a", "b"]


def test_a_mirror_pod_is_static_whatever_covers_it() -> None:
    """The API server cannot prevent a kubelet from running a pod from a file."""
    verdict = judge(pod(mirror=True), stand())
    assert (verdict.verdict, verdict.exceptions) == (labels.Verdict.STATIC, ())
    assert "node-1" in verdict.why


@pytest.mark.parametrize("standings", [(), (stand(**EXPIRED),)], ids=["uncovered", "expired"])
def test_exempt_stands_in_for_uncovered_and_expired(standings: tuple[validity.Standing, ...]) -> None:
    """In an exempt namespace no pod is Uncovered or Expired, and no exception is named for clean-up."""
    verdict = judge(pod(), *standings, exempt=True)
    assert (verdict.verdict, verdict.exceptions) == (labels.Verdict.EXEMPT, ())
    assert "namespace 'payments' is exempt" in verdict.why


def test_a_covered_pod_in_an_exempt_namespace_is_covered() -> None:
    """Exempt replaces only Uncovered and Expired."""
    assert labels.Verdict.COVERED is judge(pod(), stand(), exempt=True).verdict


def test_labels_and_owners_of_a_pod_decide_nothing() -> None:
    """Both can be forged. The verdict is the same with any of them."""
    forged_pod = pod(
        verdict_label="Covered", owner=snapshot.Reference("DaemonSet", "kube-system", "cni", "u"), deleting=True
    )
    assert labels.Verdict.UNCOVERED is judge(forged_pod).verdict


def test_counts_name_every_verdict() -> None:
    """Verdicts that no pod has count 0. Pods that the operator could not read count as Unknown."""
    counts = coverage.count([judge(pod()), judge(pod("b"), stand())], unreadable=2)
    assert {verdict.value: count for verdict, count in counts.items()} == {
        "Covered": 1,
        "Uncovered": 1,
        "Expired": 0,
        "Static": 0,
        "Exempt": 0,
        "Unknown": 2,
    }


def test_a_backslash_is_within_no_host_path() -> None:
    """On a Windows node a backslash separates segments, and `..` goes up."""
    standing = stand(host_paths=({"path": "/var/log", "read_only": False},))
    hidden_path_pod = pod(host_paths=frozenset({host_path("/var/log/a\\..\\..\\Users")}))
    assert Condition.HOST_PATHS is coverage.covers(standing, hidden_path_pod).failed


@pytest.mark.parametrize(
    ("fields", "target", "relies"),
    [
        ({}, "baseline", False),
        ({"capabilities": frozenset({"CHOWN"})}, "baseline", False),
        ({"capabilities": frozenset({"CHOWN"})}, "restricted", True),
        ({"capabilities": frozenset({"NET_BIND_SERVICE"})}, "restricted", False),
        ({"capabilities": frozenset({"NET_ADMIN"})}, "baseline", True),
        ({"privileged": True}, "baseline", True),
        ({"host_ports": True}, "baseline", True),
        ({"host_paths": frozenset({host_path("/proc")})}, "baseline", True),
    ],
)
def test_a_pod_relies_on_a_grant_for_what_the_guard_refuses(fields: dict[str, Any], target: str, relies: bool) -> None:
    """What the guard allows to everybody is no reason to cover a pod without host namespaces."""
    plain = pod(host_namespaces=frozenset(), **fields)
    assert relies is coverage.relies_on_a_grant(plain, labels.Level(target))


def test_a_pod_that_cannot_be_judged_keeps_no_other_from_being_counted() -> None:
    """Pods without host namespaces are only counted."""
    standing = stand(type="Application", host_namespaces=(), privileged=True)
    good = pod("good", host_namespaces=frozenset(), privileged=True)
    bad = replace(good, name="bad", images=frozenset({7}))  # type: ignore[arg-type]
    verdicts = coverage.plain(snapshot.PodSet.of([bad, good]), [standing], labels.Level.BASELINE)
    assert [verdict.pod.name for verdict in verdicts] == ["good"]
