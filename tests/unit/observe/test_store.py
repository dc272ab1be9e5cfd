"""The operator's copy of what it watches: never older than before, without ghosts, never sure of what is unreported."""

import pathlib
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels, policy, report
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe.store import Kind, Store
from tests.unit.builders import NOW, at

HOME = "payments"


def body(name: str, version: int, *, uid: str = "", namespace: str = HOME, **rest: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "uid": uid or f"uid-of-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-22T12:00:00Z",
        **({"namespace": namespace} if namespace else {}),
        **rest.pop("metadata", {}),
    }
    return {"metadata": metadata, **rest}


def pod(name: str, version: int, **rest: Any) -> dict[str, Any]:
    return body(name, version, spec={"hostNetwork": True, "containers": [{"image": f"v:{version}"}]}, **rest)


def home(version: int, *, uid: str = "u", **found: str) -> dict[str, Any]:
    return body(HOME, version, uid=uid, namespace="", metadata={"labels": found})


def default(version: int, mode: str = "Enforce", name: str = policy.NAME) -> dict[str, Any]:
    return body(name, version, namespace="", spec={"mode": mode})


@pytest.fixture
def kept() -> Store:
    """Return a store that has the namespace."""
    made = Store()
    made.put(Kind.NAMESPACE, home(1))
    return made


def seen(kept: Store) -> snapshot.NamespaceSnapshot:
    made = kept.snapshot(HOME)
    assert made is not None
    return made


def pods(kept: Store) -> dict[str, str]:
    return {one.name: one.resource_version for one in seen(kept).pods}


def replaced(
    kept: Store, kind: Kind, bodies: list[dict[str, Any]], version: str, namespace: str | None = None
) -> set[str]:
    """Read a complete list, with one object per page. Return the namespaces that changed."""
    listing = kept.listing(kind, namespace)
    for one in bodies:
        listing.page([one])
    return listing.end(version)


# -- one object -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "taken"), [(9, False), (10, False), (11, True)])
def test_an_older_version_never_replaces_a_newer_one(kept: Store, version: int, taken: bool) -> None:
    """The same version does not replace it either. Versions are compared as numbers, not as text."""
    assert kept.put(Kind.POD, pod("a", 10))
    assert taken is kept.put(Kind.POD, pod("a", version))
    assert {"a": "11" if taken else "10"} == pods(kept)


def test_a_pod_made_anew_replaces_the_old_one(kept: Store) -> None:
    """The new pod has the same name, another uid and a newer version."""
    kept.put(Kind.POD, pod("a", 10))
    assert kept.put(Kind.POD, pod("a", 12, uid="new"))
    assert [one.uid for one in seen(kept).pods] == ["new"]


def test_a_late_farewell_does_not_remove_the_new_one(kept: Store) -> None:
    """DELETED of the old pod arrives after ADDED of the new pod of that name."""
    kept.put(Kind.POD, pod("a", 12, uid="new"))
    kept.remove(Kind.POD, pod("a", 13, uid="old"))
    assert pods(kept) == {"a": "12"}
    kept.remove(Kind.POD, pod("a", 14, uid="new"))
    kept.remove(Kind.POD, pod("a", 14, uid="new"))
    assert pods(kept) == {}


def test_what_is_gone_does_not_come_back(kept: Store) -> None:
    """The answer to our own write arrives after the watch has reported the deletion of the pod."""
    kept.put(Kind.POD, pod("a", 10))
    kept.remove(Kind.POD, pod("a", 12))
    assert not kept.put(Kind.POD, pod("a", 11))
    assert pods(kept) == {}
    assert kept.put(Kind.POD, pod("a", 13, uid="new"))


def test_namespaces_do_not_mix(kept: Store) -> None:
    """A pod of the same name in another namespace is another pod."""
    kept.put(Kind.POD, pod("a", 10))
    kept.put(Kind.POD, pod("a", 11, namespace="other"))
    kept.remove(Kind.POD, pod("a", 12, namespace="other"))
    assert pods(kept) == {"a": "10"}


def test_a_namespace_that_was_never_seen_has_no_snapshot(kept: Store) -> None:
    """Even if the store has pods of that namespace."""
    kept.put(Kind.POD, pod("a", 10, namespace="other"))
    assert None is kept.snapshot("other")
    assert kept.namespaces() == [HOME]


def test_unreadable_objects_are_kept_apart(kept: Store) -> None:
    """The snapshot has them, but neither as pods nor as exceptions."""
    kept.put(Kind.POD, body("odd", 10, spec={"hostNetwork": True, "containers": [{}]}))
    kept.put(Kind.EXCEPTION, body("odd", 11, spec={}))
    made = seen(kept)
    assert (
        made.pods,
        made.exceptions,
        [p.name for p in made.unreadable_pods],
        [e.name for e in made.unreadable_exceptions],
    ) == ((), (), ["odd"], ["odd"])


@pytest.mark.parametrize("kind", [Kind.POD, Kind.EXCEPTION, Kind.POLICY])
def test_the_same_version_can_be_read_later(kept: Store, kind: Kind) -> None:
    """A watch reports an object by the schema of a CRD that was replaced; the next list has the whole object."""
    spec: dict[str, Any] = {
        Kind.POD: {"hostNetwork": True, "containers": [{"image": "v:1"}]},
        Kind.EXCEPTION: {
            "type": "Infrastructure",
            "owner": "team-network",
            "contact": "https://oncall.example.com",
            "reason": "Routes between the nodes",
            "serviceAccountName": "agent",
        },
        Kind.POLICY: {"mode": "Enforce"},
    }[kind]
    whole = body("default", 10, namespace="" if kind is Kind.POLICY else HOME, spec=spec)
    pruned = {**whole, "spec": {"containers": [{}], "hostNetwork": True, "unknown": 1}}
    assert kept.put(kind, pruned)
    assert not kept.put(kind, pruned)
    assert kept.unread.counts()[kind.value] == 1
    assert kept.put(kind, whole)
    assert not kept.put(kind, pruned)
    assert kept.unread.counts()[kind.value] == 0


# -- lists ----------------------------------------------------------------------------------------------------------


def test_a_list_removes_ghosts(kept: Store) -> None:
    """A pod that was deleted while a watch was broken is removed, and its namespace counts as changed."""
    kept.put(Kind.POD, pod("ghost", 10))
    kept.put(Kind.POD, pod("ghost", 11, namespace="other"))
    assert {HOME, "other"} == replaced(kept, Kind.POD, [pod("a", 15)], "20")
    assert pods(kept) == {"a": "15"}


def test_a_list_does_not_remove_what_is_newer_than_it(kept: Store) -> None:
    """A watch event overtook the list."""
    kept.put(Kind.POD, pod("new", 21))
    assert set() == replaced(kept, Kind.POD, [], "20")
    assert pods(kept) == {"new": "21"}


def test_a_list_does_not_bring_back_what_is_older(kept: Store) -> None:
    """The store was ahead of the list."""
    kept.put(Kind.POD, pod("a", 21))
    assert set() == replaced(kept, Kind.POD, [pod("a", 15)], "20")
    assert pods(kept) == {"a": "21"}


def test_a_list_says_which_namespaces_were_not_as_they_were(kept: Store) -> None:
    """Namespaces that did not change are not evaluated again."""
    kept.put(Kind.POD, pod("a", 10))
    kept.put(Kind.POD, pod("b", 10, namespace="other"))
    assert {"other"} == replaced(kept, Kind.POD, [pod("a", 10), pod("b", 12, namespace="other")], "20")


def test_a_list_of_namespaces_names_those_that_came_and_went(kept: Store) -> None:
    """The result has the names of these namespaces."""
    assert {HOME, "new"} == replaced(kept, Kind.NAMESPACE, [body("new", 5, namespace="")], "20")
    assert kept.namespaces() == ["new"]


def test_a_list_of_one_namespace_leaves_the_others(kept: Store) -> None:
    """The list says nothing about namespaces that were not listed."""
    kept.put(Kind.POD, pod("ghost", 10))
    kept.put(Kind.POD, pod("there", 10, namespace="other"))
    assert {HOME} == replaced(kept, Kind.POD, [], "20", HOME)
    assert pods(kept) == {}
    kept.put(Kind.NAMESPACE, body("other", 2, namespace=""))
    other = kept.snapshot("other")
    assert other is not None
    assert [one.name for one in other.pods] == ["there"]


# -- the policy -----------------------------------------------------------------------------------------------------


def test_before_any_list_the_policy_is_unknown() -> None:
    """A policy that was not looked up is not absent."""
    assert snapshot.Existence.UNKNOWN is Store().policy_state().existence


def test_a_list_without_one_is_absence() -> None:
    """Also a list that has only policies of other names."""
    made = Store()
    replaced(made, Kind.POLICY, [default(3, name="other")], "5")
    assert (made.policy_state().existence, made.policy_state().spec) == (snapshot.Existence.ABSENT, None)


def listed(*bodies: dict[str, Any]) -> Store:
    made = Store()
    replaced(made, Kind.POLICY, [], "1")
    for one in bodies:
        made.put(Kind.POLICY, one)
    return made


def test_the_policy_named_default_counts() -> None:
    """No other policy counts."""
    state = listed(default(3, "Audit"), default(4, "Enforce", name="other")).policy_state()
    assert snapshot.Existence.PRESENT is state.existence
    assert state.spec is not None
    assert policy.Mode.AUDIT is state.spec.mode


def test_a_broken_policy_changes_nothing() -> None:
    """The last valid policy stays in effect. The object itself says what is wrong."""
    made = listed(default(3, "Audit"), default(4, "Off"))
    assert made.policy_state().spec is not None
    present = made.policy_object()
    assert present is not None
    assert (present.spec, present.resource_version) == (None, "4")


def test_a_policy_that_never_was_a_good_one_is_unknown() -> None:
    """The wanted settings are not known, which is not the same as an absent policy."""
    assert snapshot.Existence.UNKNOWN is listed(default(4, "Off")).policy_state().existence


def test_a_deleted_policy_is_absent() -> None:
    """The last valid policy does not outlive its object. A list without the object has the same effect."""
    made = listed(default(3))
    made.remove(Kind.POLICY, default(5))
    assert snapshot.Existence.ABSENT is made.policy_state().existence
    made = listed(default(3))
    replaced(made, Kind.POLICY, [], "9")
    assert snapshot.Existence.ABSENT is made.policy_state().existence


def test_a_policy_does_not_speak_for_another_of_its_name() -> None:
    """A policy that is created again and is broken has unknown settings.

    No watch reported the deletion of the first policy.
    """
    second = default(4, "Off")
    second["metadata"]["uid"] = "another"
    made = listed(default(3))
    replaced(made, Kind.POLICY, [second], "9")
    assert snapshot.Existence.UNKNOWN is made.policy_state().existence


def test_a_failed_list_makes_it_unknown_until_the_next() -> None:
    """A 403 does not show that the policy is absent."""
    made = listed(default(3))
    made.policy_unlisted()
    assert (made.policy_state().existence, made.policy_state().spec) == (snapshot.Existence.UNKNOWN, None)
    replaced(made, Kind.POLICY, [default(3)], "9")
    assert snapshot.Existence.PRESENT is made.policy_state().existence


def test_without_its_kind_there_is_no_policy() -> None:
    """Once the API server does not serve the kind, the policy is absent, although the list failed before."""
    made = listed(default(3))
    made.policy_unlisted()
    assert made.policies_gone()
    assert not made.policies_gone()
    assert snapshot.Existence.ABSENT is made.policy_state().existence
    replaced(made, Kind.POLICY, [default(7)], "9")
    assert snapshot.Existence.PRESENT is made.policy_state().existence


def test_guards_come_from_policies_and_bindings() -> None:
    """The operator's own policies and bindings count, in whatever order they arrive."""
    made = Store()
    assert {None} == {guard.since for guard in made.guards().values()}
    name = labels.POLICY_HOST_NAMESPACES
    file = pathlib.Path(__file__).parents[3] / "manifests" / "admission" / "host-namespaces.yaml"
    spec, deny, audit = (one["spec"] for one in yaml.safe_load_all(file.read_text()))
    for number, binding in enumerate((deny, audit)):
        made.put(Kind.ADMISSION_BINDING, body(f"b{number}", 2, namespace="", spec=binding))
    made.put(Kind.ADMISSION_POLICY, body(name, 3, namespace="", spec=spec))
    assert {name} == {guard.name for guard in made.guards().values() if guard.since is not None}


# -- pods that no watch reports -------------------------------------------------------------------------------------


def unwatched(name: str, version: int, **rest: Any) -> dict[str, Any]:
    return body(name, version, spec={"hostPID": True, "containers": [{"image": "v:1"}]}, **rest)


def test_a_list_of_every_pod_keeps_those_that_share_host_namespaces(kept: Store) -> None:
    """Nothing of ordinary pods is kept, not even their names."""
    ordinary = body("web", 9, spec={"containers": [{"image": "v:1"}]})
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [ordinary, pod("a", 10), unwatched("b", 11)], "20")
    assert pods(kept) == {"a": "10", "b": "11"}
    assert set() == replaced(kept, Kind.EVERY_POD, [ordinary, pod("a", 10), unwatched("b", 11)], "21")


def test_a_list_by_the_field_selector_says_nothing_of_the_others(kept: Store) -> None:
    """Such a list never has them. A list of every pod does."""
    replaced(kept, Kind.EVERY_POD, [pod("a", 10), unwatched("b", 11)], "20")
    assert {HOME} == replaced(kept, Kind.POD, [], "30")
    assert pods(kept) == {"b": "11"}
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [], "40")
    assert pods(kept) == {}


def test_a_pod_made_anew_with_host_network_is_watched(kept: Store) -> None:
    """The name was that of an unwatched pod. From now on, a list by the field selector counts for the name."""
    replaced(kept, Kind.EVERY_POD, [unwatched("a", 10)], "20")
    kept.put(Kind.POD, pod("a", 25, uid="new"))
    assert {HOME} == replaced(kept, Kind.POD, [], "30")
    assert pods(kept) == {}


def test_it_is_known_when_every_pod_was_listed(kept: Store) -> None:
    """A list of all namespaces or of this one counts, whichever is later.

    An earlier namespace of the name does not count.
    """
    assert None is seen(kept).every_pod_listed
    kept.every_pod_listed(None, NOW)
    assert seen(kept).every_pod_listed == NOW
    kept.every_pod_listed(HOME, at(minutes=1))
    assert at(minutes=1) == seen(kept).every_pod_listed
    kept.every_pod_listed(None, at(seconds=30))
    assert at(minutes=1) == seen(kept).every_pod_listed
    kept.remove(Kind.NAMESPACE, home(1))
    kept.put(Kind.NAMESPACE, home(2, uid="new"))
    assert at(seconds=30) == seen(kept).every_pod_listed


# -- ordinary pods: only whether there are any -----------------------------------------------------------------------


def ordinary(name: str = "web", phase: str = "Running", **rest: Any) -> dict[str, Any]:
    return body(name, 9, spec={"containers": [{"image": "v:1"}]}, status={"phase": phase}, **rest)


def excepted(kept: Store, namespace: str = HOME) -> None:
    """Store an exception."""
    kept.put(Kind.EXCEPTION, body("net", 5, namespace=namespace, spec={}))


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([ordinary()], True),
        ([ordinary(phase="Pending")], True),
        ([ordinary(phase="Unknown")], True),
        ([ordinary(phase="Succeeded"), ordinary("b", phase="Failed")], False),
        ([ordinary(metadata={"deletionTimestamp": "2026-11-22T12:00:00Z"})], False),
        ([pod("a", 10), unwatched("b", 11)], False),
        ([ordinary(namespace="other")], False),
        ([], False),
    ],
)
def test_a_list_of_every_pod_tells_whether_ordinary_ones_live_there(kept: Store, there: Any, found: bool) -> None:
    """Pods that share host namespaces, that have ended or that are being deleted do not count.

    Before the list nothing is known.
    """
    assert seen(kept).ordinary_pods is None
    replaced(kept, Kind.POD, [], "19")
    assert seen(kept).ordinary_pods is None
    replaced(kept, Kind.EVERY_POD, there, "20")
    assert seen(kept).ordinary_pods is found
    assert not {one.name for one in seen(kept).pods} & {"web"}


def installed(name: str, **labels: str) -> dict[str, Any]:
    return ordinary(name, metadata={"labels": labels})


def test_a_list_of_every_pod_has_with_what_ordinary_ones_were_installed(kept: Store) -> None:
    """Each release comes once, by the labels that charts and manifests write, and by no others."""
    assert seen(kept).ordinary_releases == frozenset()
    there = [
        installed("a", app="metallb", component="controller"),
        installed("b", app="metallb", component="webhook"),
        installed("c", **{"app.kubernetes.io/instance": "one", "app.kubernetes.io/part-of": "two"}),
        installed("d", team="net"),
        ordinary("e", phase="Failed", metadata={"labels": {"app": "ended"}}),
    ]
    replaced(kept, Kind.EVERY_POD, there, "20")
    whole = {"app.kubernetes.io/instance=one", "app.kubernetes.io/part-of=two"}
    assert seen(kept).ordinary_releases == {frozenset({"app=metallb"}), frozenset(whole), frozenset()}
    excepted(kept)
    assert {HOME} == replaced(kept, Kind.EVERY_POD, there[:2], "21")
    assert set() == replaced(kept, Kind.EVERY_POD, there[1:2], "22")
    assert seen(kept).ordinary_releases == {frozenset({"app=metallb"})}


def test_more_releases_than_are_kept_are_none(kept: Store) -> None:
    """A tenant can create any number of releases. It stays known that there are ordinary pods."""
    replaced(kept, Kind.EVERY_POD, [installed(f"p{n}", app=f"a{n}") for n in range(8)], "20")
    assert len(seen(kept).ordinary_releases) == 8
    replaced(kept, Kind.EVERY_POD, [installed(f"p{n}", app=f"a{n}") for n in (*range(9), *range(9))], "21")
    assert (seen(kept).ordinary_pods, seen(kept).ordinary_releases) == (True, frozenset())


def test_a_list_says_nothing_of_a_namespace_that_came_after_it_began(kept: Store) -> None:
    """A namespace that was not listed is not clean, whether its name is new or was created again."""
    listing = kept.listing(Kind.EVERY_POD)
    kept.put(Kind.NAMESPACE, body("late", 2, namespace=""))
    kept.put(Kind.NAMESPACE, home(3, uid="new"))
    listing.page([ordinary()])
    listing.end("20")
    late = kept.snapshot("late")
    assert late is not None
    assert (late.ordinary_pods, seen(kept).ordinary_pods) == (None, None)


def test_what_was_known_of_a_namespace_goes_with_it(kept: Store) -> None:
    """Whether the watch has reported its deletion, or only the new namespace."""
    replaced(kept, Kind.EVERY_POD, [ordinary()], "20")
    kept.put(Kind.NAMESPACE, home(21, uid="new"))
    assert seen(kept).ordinary_pods is None
    replaced(kept, Kind.EVERY_POD, [ordinary()], "30")
    kept.remove(Kind.NAMESPACE, home(31, uid="new"))
    kept.put(Kind.NAMESPACE, home(32, uid="newest"))
    assert seen(kept).ordinary_pods is None


def test_a_list_says_nothing_of_the_namespace_that_was_there_before(kept: Store) -> None:
    """The new namespace of that name was listed separately meanwhile, and that result stays known."""
    long = kept.listing(Kind.EVERY_POD)
    kept.put(Kind.NAMESPACE, home(21, uid="new"))
    replaced(kept, Kind.EVERY_POD, [ordinary()], "22", HOME)
    long.end("20")
    assert seen(kept).ordinary_pods is True


def test_a_list_that_breaks_off_leaves_what_was_known(kept: Store) -> None:
    """Half a list does not show that a namespace has no ordinary pods."""
    replaced(kept, Kind.EVERY_POD, [ordinary()], "20")
    kept.listing(Kind.EVERY_POD).page([])
    kept.listing(Kind.EVERY_POD, HOME).page([])
    assert seen(kept).ordinary_pods is True


def test_a_list_of_one_namespace_tells_of_that_alone(kept: Store) -> None:
    """What is known about the others stays, and an older list of all namespaces does not replace the result."""
    kept.put(Kind.NAMESPACE, body("other", 2, namespace=""))
    long = kept.listing(Kind.EVERY_POD)
    replaced(kept, Kind.EVERY_POD, [ordinary()], "30", HOME)
    other = kept.snapshot("other")
    assert other is not None
    assert (other.ordinary_pods, seen(kept).ordinary_pods) == (None, True)
    long.end("20")  # the state from before
    other = kept.snapshot("other")
    assert other is not None
    assert (other.ordinary_pods, seen(kept).ordinary_pods) == (False, True)


def test_only_a_namespace_with_exceptions_is_touched_by_ordinary_pods(kept: Store) -> None:
    """And only if the answer differs from the one before, however many pods there are."""
    assert set() == replaced(kept, Kind.EVERY_POD, [ordinary()], "20")
    assert set() == replaced(kept, Kind.EVERY_POD, [], "21")
    excepted(kept)
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [ordinary()], "22")
    assert set() == replaced(kept, Kind.EVERY_POD, [ordinary("a"), ordinary("b")], "23")
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [], "24")
    assert set() == replaced(kept, Kind.EVERY_POD, [ordinary(namespace="other")], "25")


def test_a_namespace_with_exceptions_is_touched_when_it_is_first_looked_through(kept: Store) -> None:
    """Unknown becomes none, which is another answer."""
    excepted(kept)
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [], "20")


# -- reports ----------------------------------------------------------------------------------------------------------


def test_of_two_kinds_of_reports_the_first_that_is_served_is_written(kept: Store) -> None:
    """While the preferred kind may be served, no kind is written, so that there are never both."""
    assert seen(kept).report_kind is None
    kept.serves(Kind.POLICY_REPORT)
    assert seen(kept).report_kind is None
    kept.serves_not(Kind.REPORT)
    assert seen(kept).report_kind is report.POLICY_REPORT
    kept.serves(Kind.REPORT)
    assert seen(kept).report_kind is report.OPEN_REPORT
    kept.serves_not(Kind.REPORT)
    kept.serves_not(Kind.POLICY_REPORT)
    assert seen(kept).report_kind is None


def test_reports_that_stand_are_seen_of_both_kinds_and_go_with_their_kind(kept: Store) -> None:
    """Each report has its kind and its owner. If a kind is no longer served, none of its reports is left."""
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u"}
    kept.put(Kind.REPORT, body("hostnetwork-u", 5, uid="a", metadata={"ownerReferences": [owner]}))
    kept.put(Kind.POLICY_REPORT, body("hostnetwork-u", 6, uid="b"))
    found = [(one.kind.kind, one.uid, one.owner_kind) for one in seen(kept).reports]
    assert found == [("Report", "a", "Deployment"), ("PolicyReport", "b", "")]
    assert kept.serves_not(Kind.REPORT) == {HOME}
    assert [one.uid for one in seen(kept).reports] == ["b"]
    assert kept.serves_not(Kind.REPORT) == set()
    assert replaced(kept, Kind.POLICY_REPORT, [], "7") == {HOME}
    assert seen(kept).reports == ()


# -- pods without host namespaces that an exception may cover -----------------------------------------------------


def plainly_excepted(kept: Store, account: str = "netdebug") -> None:
    spec = {
        "type": "Application", "owner": "a", "reason": "Reads the disk of the node", "ticket": "T-1",
        "expiry": "2027-01-01T00:00:00Z", "images": ["v:1"], "serviceAccountName": account, "hostNamespaces": [],
    }  # fmt: skip
    kept.put(Kind.EXCEPTION, body(f"for-{account}", 5, spec=spec))


def sensor(name: str, account: str = "netdebug", **spec: Any) -> dict[str, Any]:
    """Return a pod that mounts a directory of its node."""
    disk = {"volumes": [{"name": "disk", "hostPath": {"path": "/"}}]}
    return body(name, 9, spec={"containers": [{"image": "v:1"}], "serviceAccountName": account, **(spec or disk)})


def test_pods_that_an_exception_without_host_namespaces_may_cover_are_kept(kept: Store) -> None:
    """Pods of its account that use anything of the node. They are no ordinary pods, and they have no verdict."""
    plainly_excepted(kept)
    assert seen(kept).plain_accounts == frozenset()  # nothing was listed yet
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [sensor("a"), sensor("b")], "20")
    found = seen(kept)
    assert ([one.name for one in found.plain_pods], found.plain_accounts) == (["a", "b"], {"netdebug"})
    assert (found.ordinary_pods, found.pods) == (False, ())
    assert set() == replaced(kept, Kind.EVERY_POD, [sensor("a"), sensor("b")], "21")
    assert {HOME} == replaced(kept, Kind.EVERY_POD, [sensor("b")], "22")
    assert [one.name for one in seen(kept).plain_pods] == ["b"]


@pytest.mark.parametrize(
    "there", [sensor("a", "web"), sensor("a", nodeName="node-1")], ids=["account", "needs nothing"]
)
def test_every_other_pod_without_host_namespaces_is_ordinary(kept: Store, there: dict[str, Any]) -> None:
    """The pod is of another account, or needs no exception."""
    plainly_excepted(kept)
    replaced(kept, Kind.EVERY_POD, [there], "20")
    assert (seen(kept).ordinary_pods, seen(kept).plain_pods) == (True, ())


def test_without_such_an_exception_no_pod_is_kept(kept: Store) -> None:
    """The memory for ordinary pods does not grow with their number."""
    replaced(kept, Kind.EVERY_POD, [sensor("a")], "20")
    assert (seen(kept).ordinary_pods, seen(kept).plain_pods) == (True, ())
