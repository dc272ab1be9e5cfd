"""The operator's copy of what it watches: never older than before, without ghosts, never sure of what is unreported."""

import pathlib
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import labels, policy, report
from hostnetwork_operator.decide import snapshot
from hostnetwork_operator.observe.store import Kind, Store
from tests.unit.builders import NOW, at

NAMESPACE = "payments"


def body(name: str, version: int, *, uid: str = "", namespace: str = NAMESPACE, **rest: Any) -> dict[str, Any]:
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


def namespace_body(version: int, *, uid: str = "u", **namespace_labels: str) -> dict[str, Any]:
    return body(NAMESPACE, version, uid=uid, namespace="", metadata={"labels": namespace_labels})


def default(version: int, mode: str = "Enforce", name: str = policy.NAME) -> dict[str, Any]:
    return body(name, version, namespace="", spec={"mode": mode})


@pytest.fixture
def cache() -> Store:
    """Return a store that has the namespace."""
    cache = Store()
    cache.put(Kind.NAMESPACE, namespace_body(1))
    return cache


def state_of(cache: Store) -> snapshot.NamespaceSnapshot:
    state = cache.snapshot(NAMESPACE)
    assert state is not None
    return state


def pod_versions(cache: Store) -> dict[str, str]:
    return {pod_state.name: pod_state.resource_version for pod_state in state_of(cache).pods}


def read_list(
    cache: Store, kind: Kind, bodies: list[dict[str, Any]], version: str, namespace: str | None = None
) -> set[str]:
    """Read a complete list, with one object per page. Return the namespaces that changed."""
    listing = cache.listing(kind, namespace)
    for item in bodies:
        listing.page([item])
    return listing.end(version)


# -- one object -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "taken"), [(9, False), (10, False), (11, True)])
def test_an_older_version_never_replaces_a_newer_one(cache: Store, version: int, taken: bool) -> None:
    """The same version does not replace it either. Versions are compared as numbers, not as text."""
    assert cache.put(Kind.POD, pod("a", 10))
    assert taken is cache.put(Kind.POD, pod("a", version))
    assert {"a": "11" if taken else "10"} == pod_versions(cache)


def test_a_pod_made_anew_replaces_the_old_one(cache: Store) -> None:
    """The new pod has the same name, another uid and a newer version."""
    cache.put(Kind.POD, pod("a", 10))
    assert cache.put(Kind.POD, pod("a", 12, uid="new"))
    assert [pod_state.uid for pod_state in state_of(cache).pods] == ["new"]


def test_a_late_farewell_does_not_remove_the_new_one(cache: Store) -> None:
    """DELETED of the old pod arrives after ADDED of the new pod of that name."""
    cache.put(Kind.POD, pod("a", 12, uid="new"))
    cache.remove(Kind.POD, pod("a", 13, uid="old"))
    assert pod_versions(cache) == {"a": "12"}
    cache.remove(Kind.POD, pod("a", 14, uid="new"))
    cache.remove(Kind.POD, pod("a", 14, uid="new"))
    assert pod_versions(cache) == {}


def test_what_is_gone_does_not_come_back(cache: Store) -> None:
    """The answer to our own write arrives after the watch has reported the deletion of the pod."""
    cache.put(Kind.POD, pod("a", 10))
    cache.remove(Kind.POD, pod("a", 12))
    assert not cache.put(Kind.POD, pod("a", 11))
    assert pod_versions(cache) == {}
    assert cache.put(Kind.POD, pod("a", 13, uid="new"))


def test_namespaces_do_not_mix(cache: Store) -> None:
    """A pod of the same name in another namespace is another pod."""
    cache.put(Kind.POD, pod("a", 10))
    cache.put(Kind.POD, pod("a", 11, namespace="other"))
    cache.remove(Kind.POD, pod("a", 12, namespace="other"))
    assert pod_versions(cache) == {"a": "10"}


def test_a_namespace_that_was_never_seen_has_no_snapshot(cache: Store) -> None:
    """Even if the store has pods of that namespace."""
    cache.put(Kind.POD, pod("a", 10, namespace="other"))
    assert None is cache.snapshot("other")
    assert cache.namespaces() == [NAMESPACE]


def test_unreadable_objects_are_kept_apart(cache: Store) -> None:
    """The snapshot has them, but neither as pods nor as exceptions."""
    cache.put(Kind.POD, body("odd", 10, spec={"hostNetwork": True, "containers": [{}]}))
    cache.put(Kind.EXCEPTION, body("odd", 11, spec={}))
    state = state_of(cache)
    assert (
        list(state.pods),
        state.exceptions,
        [p.name for p in state.unreadable_pods],
        [e.name for e in state.unreadable_exceptions],
    ) == ([], (), ["odd"], ["odd"])


# A spec that can be read, by kind. PRUNED can be read of no kind.
READABLE: dict[Kind, dict[str, Any]] = {
    Kind.POD: {"hostNetwork": True, "containers": [{"image": "v:1"}]},
    Kind.EXCEPTION: {
        "type": "Infrastructure",
        "owner": "team-network",
        "contact": "https://oncall.example.com",
        "reason": "Routes between the nodes",
        "serviceAccountName": "agent",
    },
    Kind.POLICY: {"mode": "Enforce"},
}
PRUNED = {"containers": [{}], "hostNetwork": True, "unknown": 1}


def default_body(kind: Kind, version: int, spec: dict[str, Any]) -> dict[str, Any]:
    return body("default", version, namespace="" if kind is Kind.POLICY else NAMESPACE, spec=spec)


@pytest.mark.parametrize("kind", READABLE)
def test_the_same_version_can_be_read_later(cache: Store, kind: Kind) -> None:
    """A watch reports an object by the schema of a CRD that was replaced; the next list has the whole object."""
    whole, pruned = default_body(kind, 10, READABLE[kind]), default_body(kind, 10, PRUNED)
    assert cache.put(kind, pruned)
    assert not cache.put(kind, pruned)
    assert cache.unread.counts()[kind.value] == 1
    assert cache.put(kind, whole)
    assert not cache.put(kind, pruned)
    assert cache.unread.counts()[kind.value] == 0


@pytest.mark.parametrize("kind", READABLE)
def test_an_older_version_does_not_replace_an_unreadable_one(cache: Store, kind: Kind) -> None:
    """A list that began earlier has the older version. The object was unreadable for the same reason before."""
    for version in (10, 20):
        cache.put(kind, default_body(kind, version, PRUNED))
    assert not cache.put(kind, default_body(kind, 15, READABLE[kind]))
    assert cache.put(kind, default_body(kind, 20, READABLE[kind]))


# -- lists ----------------------------------------------------------------------------------------------------------


def test_a_list_removes_ghosts(cache: Store) -> None:
    """A pod that was deleted while a watch was broken is removed, and its namespace counts as changed."""
    cache.put(Kind.POD, pod("ghost", 10))
    cache.put(Kind.POD, pod("ghost", 11, namespace="other"))
    assert {NAMESPACE, "other"} == read_list(cache, Kind.POD, [pod("a", 15)], "20")
    assert pod_versions(cache) == {"a": "15"}


def test_a_list_does_not_remove_what_is_newer_than_it(cache: Store) -> None:
    """A watch event overtook the list."""
    cache.put(Kind.POD, pod("new", 21))
    assert set() == read_list(cache, Kind.POD, [], "20")
    assert pod_versions(cache) == {"new": "21"}


def test_a_list_does_not_bring_back_what_is_older(cache: Store) -> None:
    """The store was ahead of the list."""
    cache.put(Kind.POD, pod("a", 21))
    assert set() == read_list(cache, Kind.POD, [pod("a", 15)], "20")
    assert pod_versions(cache) == {"a": "21"}


def test_a_list_says_which_namespaces_were_not_as_they_were(cache: Store) -> None:
    """Namespaces that did not change are not evaluated again."""
    cache.put(Kind.POD, pod("a", 10))
    cache.put(Kind.POD, pod("b", 10, namespace="other"))
    assert {"other"} == read_list(cache, Kind.POD, [pod("a", 10), pod("b", 12, namespace="other")], "20")


def test_a_list_of_namespaces_names_those_that_came_and_went(cache: Store) -> None:
    """The result has the names of these namespaces."""
    assert {NAMESPACE, "new"} == read_list(cache, Kind.NAMESPACE, [body("new", 5, namespace="")], "20")
    assert cache.namespaces() == ["new"]


def test_a_list_of_one_namespace_leaves_the_others(cache: Store) -> None:
    """The list says nothing about namespaces that were not listed."""
    cache.put(Kind.POD, pod("ghost", 10))
    cache.put(Kind.POD, pod("there", 10, namespace="other"))
    assert {NAMESPACE} == read_list(cache, Kind.POD, [], "20", NAMESPACE)
    assert pod_versions(cache) == {}
    cache.put(Kind.NAMESPACE, body("other", 2, namespace=""))
    other = cache.snapshot("other")
    assert other is not None
    assert [pod_state.name for pod_state in other.pods] == ["there"]


# -- the policy -----------------------------------------------------------------------------------------------------


def test_before_any_list_the_policy_is_unknown() -> None:
    """A policy that was not looked up is not absent."""
    assert snapshot.Existence.UNKNOWN is Store().policy_state().existence


def test_a_list_without_one_is_absence() -> None:
    """Also a list that has only policies of other names."""
    cache = Store()
    read_list(cache, Kind.POLICY, [default(3, name="other")], "5")
    assert (cache.policy_state().existence, cache.policy_state().spec) == (snapshot.Existence.ABSENT, None)


def cache_with(*bodies: dict[str, Any]) -> Store:
    cache = Store()
    read_list(cache, Kind.POLICY, [], "1")
    for item in bodies:
        cache.put(Kind.POLICY, item)
    return cache


def test_the_policy_named_default_counts() -> None:
    """No other policy counts."""
    state = cache_with(default(3, "Audit"), default(4, "Enforce", name="other")).policy_state()
    assert snapshot.Existence.PRESENT is state.existence
    assert state.spec is not None
    assert policy.Mode.AUDIT is state.spec.mode


def test_a_broken_policy_changes_nothing() -> None:
    """The last valid policy stays in effect. The object itself says what is wrong."""
    cache = cache_with(default(3, "Audit"), default(4, "Off"))
    assert cache.policy_state().spec is not None
    policy_object = cache.policy_object()
    assert policy_object is not None
    assert (policy_object.spec, policy_object.resource_version) == (None, "4")


def test_a_policy_that_never_was_a_good_one_is_unknown() -> None:
    """The wanted settings are not known, which is not the same as an absent policy."""
    assert snapshot.Existence.UNKNOWN is cache_with(default(4, "Off")).policy_state().existence


def test_a_deleted_policy_is_absent() -> None:
    """The last valid policy does not outlive its object. A list without the object has the same effect."""
    cache = cache_with(default(3))
    cache.remove(Kind.POLICY, default(5))
    assert snapshot.Existence.ABSENT is cache.policy_state().existence
    cache = cache_with(default(3))
    read_list(cache, Kind.POLICY, [], "9")
    assert snapshot.Existence.ABSENT is cache.policy_state().existence


def test_a_policy_does_not_speak_for_another_of_its_name() -> None:
    """A policy that is created again and is broken has unknown settings.

    No watch reported the deletion of the first policy.
    """
    second = default(4, "Off")
    second["metadata"]["uid"] = "another"
    cache = cache_with(default(3))
    read_list(cache, Kind.POLICY, [second], "9")
    assert snapshot.Existence.UNKNOWN is cache.policy_state().existence


def test_a_failed_list_makes_it_unknown_until_the_next() -> None:
    """A 403 does not show that the policy is absent."""
    cache = cache_with(default(3))
    cache.policy_unlisted()
    assert (cache.policy_state().existence, cache.policy_state().spec) == (snapshot.Existence.UNKNOWN, None)
    read_list(cache, Kind.POLICY, [default(3)], "9")
    assert snapshot.Existence.PRESENT is cache.policy_state().existence


def test_without_its_kind_there_is_no_policy() -> None:
    """Once the API server does not serve the kind, the policy is absent, although the list failed before."""
    cache = cache_with(default(3))
    cache.policy_unlisted()
    assert cache.policies_gone()
    assert not cache.policies_gone()
    assert snapshot.Existence.ABSENT is cache.policy_state().existence
    read_list(cache, Kind.POLICY, [default(7)], "9")
    assert snapshot.Existence.PRESENT is cache.policy_state().existence


def test_guards_come_from_policies_and_bindings() -> None:
    """The operator's own policies and bindings count, in whatever order they arrive."""
    cache = Store()
    assert {None} == {guard.since for guard in cache.guards().values()}
    name = labels.POLICY_HOST_NAMESPACES
    file = pathlib.Path(__file__).parents[3] / "manifests" / "admission" / "host-namespaces.yaml"
    spec, deny, audit = (document["spec"] for document in yaml.safe_load_all(file.read_text()))
    for number, binding in enumerate((deny, audit)):
        cache.put(Kind.ADMISSION_BINDING, body(f"b{number}", 2, namespace="", spec=binding))
    cache.put(Kind.ADMISSION_POLICY, body(name, 3, namespace="", spec=spec))
    assert {name} == {guard.name for guard in cache.guards().values() if guard.since is not None}


# -- pods that no watch reports -------------------------------------------------------------------------------------


def unwatched(name: str, version: int, **rest: Any) -> dict[str, Any]:
    return body(name, version, spec={"hostPID": True, "containers": [{"image": "v:1"}]}, **rest)


def test_a_list_of_every_pod_keeps_those_that_share_host_namespaces(cache: Store) -> None:
    """Nothing of ordinary pods is kept, not even their names."""
    ordinary = body("web", 9, spec={"containers": [{"image": "v:1"}]})
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [ordinary, pod("a", 10), unwatched("b", 11)], "20")
    assert pod_versions(cache) == {"a": "10", "b": "11"}
    assert set() == read_list(cache, Kind.EVERY_POD, [ordinary, pod("a", 10), unwatched("b", 11)], "21")


def test_a_list_by_the_field_selector_says_nothing_of_the_others(cache: Store) -> None:
    """Such a list never has them. A list of every pod does."""
    read_list(cache, Kind.EVERY_POD, [pod("a", 10), unwatched("b", 11)], "20")
    assert {NAMESPACE} == read_list(cache, Kind.POD, [], "30")
    assert pod_versions(cache) == {"b": "11"}
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [], "40")
    assert pod_versions(cache) == {}


def test_a_pod_made_anew_with_host_network_is_watched(cache: Store) -> None:
    """The name was that of an unwatched pod. From now on, a list by the field selector counts for the name."""
    read_list(cache, Kind.EVERY_POD, [unwatched("a", 10)], "20")
    cache.put(Kind.POD, pod("a", 25, uid="new"))
    assert {NAMESPACE} == read_list(cache, Kind.POD, [], "30")
    assert pod_versions(cache) == {}


def test_it_is_known_when_every_pod_was_listed(cache: Store) -> None:
    """A list of all namespaces or of this one counts, whichever is later.

    An earlier namespace of the name does not count.
    """
    assert None is state_of(cache).every_pod_listed
    cache.every_pod_listed(None, NOW)
    assert state_of(cache).every_pod_listed == NOW
    cache.every_pod_listed(NAMESPACE, at(minutes=1))
    assert at(minutes=1) == state_of(cache).every_pod_listed
    cache.every_pod_listed(None, at(seconds=30))
    assert at(minutes=1) == state_of(cache).every_pod_listed
    cache.remove(Kind.NAMESPACE, namespace_body(1))
    cache.put(Kind.NAMESPACE, namespace_body(2, uid="new"))
    assert at(seconds=30) == state_of(cache).every_pod_listed


# -- ordinary pods: only whether there are any -----------------------------------------------------------------------


def ordinary(name: str = "web", phase: str = "Running", **rest: Any) -> dict[str, Any]:
    return body(name, 9, spec={"containers": [{"image": "v:1"}]}, status={"phase": phase}, **rest)


def put_exception(cache: Store, namespace: str = NAMESPACE) -> None:
    """Store an exception."""
    cache.put(Kind.EXCEPTION, body("net", 5, namespace=namespace, spec={}))


@pytest.mark.parametrize(
    ("listed", "expected"),
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
def test_a_list_of_every_pod_tells_whether_ordinary_ones_live_there(cache: Store, listed: Any, expected: bool) -> None:
    """Pods that share host namespaces, that have ended or that are being deleted do not count.

    Before the list nothing is known.
    """
    assert state_of(cache).ordinary_pods is None
    read_list(cache, Kind.POD, [], "19")
    assert state_of(cache).ordinary_pods is None
    read_list(cache, Kind.EVERY_POD, listed, "20")
    assert state_of(cache).ordinary_pods is expected
    assert not {pod_state.name for pod_state in state_of(cache).pods} & {"web"}


def labelled_pod(name: str, **labels: str) -> dict[str, Any]:
    return ordinary(name, metadata={"labels": labels})


def test_a_list_of_every_pod_has_with_what_ordinary_ones_were_installed(cache: Store) -> None:
    """Each release comes once, by the labels that charts and manifests write, and by no others."""
    assert state_of(cache).ordinary_releases == frozenset()
    listed = [
        labelled_pod("a", app="metallb", component="controller"),
        labelled_pod("b", app="metallb", component="webhook"),
        labelled_pod("c", **{"app.kubernetes.io/instance": "one", "app.kubernetes.io/part-of": "two"}),
        labelled_pod("d", team="net"),
        ordinary("e", phase="Failed", metadata={"labels": {"app": "ended"}}),
    ]
    read_list(cache, Kind.EVERY_POD, listed, "20")
    release = {"app.kubernetes.io/instance=one", "app.kubernetes.io/part-of=two"}
    assert state_of(cache).ordinary_releases == {frozenset({"app=metallb"}), frozenset(release), frozenset()}
    put_exception(cache)
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, listed[:2], "21")
    assert set() == read_list(cache, Kind.EVERY_POD, listed[1:2], "22")
    assert state_of(cache).ordinary_releases == {frozenset({"app=metallb"})}


def test_more_releases_than_are_kept_are_none(cache: Store) -> None:
    """A tenant can create any number of releases. It stays known that there are ordinary pods."""
    read_list(cache, Kind.EVERY_POD, [labelled_pod(f"p{n}", app=f"a{n}") for n in range(8)], "20")
    assert len(state_of(cache).ordinary_releases) == 8
    read_list(cache, Kind.EVERY_POD, [labelled_pod(f"p{n}", app=f"a{n}") for n in (*range(9), *range(9))], "21")
    assert (state_of(cache).ordinary_pods, state_of(cache).ordinary_releases) == (True, frozenset())


def test_a_list_says_nothing_of_a_namespace_that_came_after_it_began(cache: Store) -> None:
    """A namespace that was not listed is not clean, whether its name is new or was created again."""
    listing = cache.listing(Kind.EVERY_POD)
    cache.put(Kind.NAMESPACE, body("late", 2, namespace=""))
    cache.put(Kind.NAMESPACE, namespace_body(3, uid="new"))
    listing.page([ordinary()])
    listing.end("20")
    late = cache.snapshot("late")
    assert late is not None
    assert (late.ordinary_pods, state_of(cache).ordinary_pods) == (None, None)


def test_what_was_known_of_a_namespace_goes_with_it(cache: Store) -> None:
    """Whether the watch has reported its deletion, or only the new namespace."""
    read_list(cache, Kind.EVERY_POD, [ordinary()], "20")
    cache.put(Kind.NAMESPACE, namespace_body(21, uid="new"))
    assert state_of(cache).ordinary_pods is None
    read_list(cache, Kind.EVERY_POD, [ordinary()], "30")
    cache.remove(Kind.NAMESPACE, namespace_body(31, uid="new"))
    cache.put(Kind.NAMESPACE, namespace_body(32, uid="newest"))
    assert state_of(cache).ordinary_pods is None


def test_a_list_says_nothing_of_the_namespace_that_was_there_before(cache: Store) -> None:
    """The new namespace of that name was listed separately meanwhile, and that result stays known."""
    listing = cache.listing(Kind.EVERY_POD)
    cache.put(Kind.NAMESPACE, namespace_body(21, uid="new"))
    read_list(cache, Kind.EVERY_POD, [ordinary()], "22", NAMESPACE)
    listing.end("20")
    assert state_of(cache).ordinary_pods is True


def test_a_list_that_breaks_off_leaves_what_was_known(cache: Store) -> None:
    """Half a list does not show that a namespace has no ordinary pods."""
    read_list(cache, Kind.EVERY_POD, [ordinary()], "20")
    cache.listing(Kind.EVERY_POD).page([])
    cache.listing(Kind.EVERY_POD, NAMESPACE).page([])
    assert state_of(cache).ordinary_pods is True


def test_a_list_of_one_namespace_tells_of_that_alone(cache: Store) -> None:
    """What is known about the others stays, and an older list of all namespaces does not replace the result."""
    cache.put(Kind.NAMESPACE, body("other", 2, namespace=""))
    listing = cache.listing(Kind.EVERY_POD)
    read_list(cache, Kind.EVERY_POD, [ordinary()], "30", NAMESPACE)
    other = cache.snapshot("other")
    assert other is not None
    assert (other.ordinary_pods, state_of(cache).ordinary_pods) == (None, True)
    listing.end("20")  # the state from before
    other = cache.snapshot("other")
    assert other is not None
    assert (other.ordinary_pods, state_of(cache).ordinary_pods) == (False, True)


def test_only_a_namespace_with_exceptions_is_touched_by_ordinary_pods(cache: Store) -> None:
    """And only if the answer differs from the one before, however many pods there are."""
    assert set() == read_list(cache, Kind.EVERY_POD, [ordinary()], "20")
    assert set() == read_list(cache, Kind.EVERY_POD, [], "21")
    put_exception(cache)
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [ordinary()], "22")
    assert set() == read_list(cache, Kind.EVERY_POD, [ordinary("a"), ordinary("b")], "23")
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [], "24")
    assert set() == read_list(cache, Kind.EVERY_POD, [ordinary(namespace="other")], "25")


def test_a_namespace_with_exceptions_is_touched_when_it_is_first_looked_through(cache: Store) -> None:
    """Unknown becomes none, which is another answer."""
    put_exception(cache)
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [], "20")


# -- reports ----------------------------------------------------------------------------------------------------------


def test_of_two_kinds_of_reports_the_first_that_is_served_is_written(cache: Store) -> None:
    """While the preferred kind may be served, no kind is written, so that there are never both."""
    assert state_of(cache).report_kind is None
    cache.serves(Kind.POLICY_REPORT)
    assert state_of(cache).report_kind is None
    cache.serves_not(Kind.REPORT)
    assert state_of(cache).report_kind is report.POLICY_REPORT
    cache.serves(Kind.REPORT)
    assert state_of(cache).report_kind is report.OPEN_REPORT
    cache.serves_not(Kind.REPORT)
    cache.serves_not(Kind.POLICY_REPORT)
    assert state_of(cache).report_kind is None


def test_reports_that_stand_are_seen_of_both_kinds_and_go_with_their_kind(cache: Store) -> None:
    """Each report has its kind and its owner. If a kind is no longer served, none of its reports is left."""
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u"}
    cache.put(Kind.REPORT, body("hostnetwork-u", 5, uid="a", metadata={"ownerReferences": [owner]}))
    cache.put(Kind.POLICY_REPORT, body("hostnetwork-u", 6, uid="b"))
    reports = [
        (stored_report.kind.kind, stored_report.uid, stored_report.owner_kind)
        for stored_report in state_of(cache).reports
    ]
    assert reports == [("Report", "a", "Deployment"), ("PolicyReport", "b", "")]
    assert cache.serves_not(Kind.REPORT) == {NAMESPACE}
    assert [stored_report.uid for stored_report in state_of(cache).reports] == ["b"]
    assert cache.serves_not(Kind.REPORT) == set()
    assert read_list(cache, Kind.POLICY_REPORT, [], "7") == {NAMESPACE}
    assert state_of(cache).reports == ()


# -- pods without host namespaces that an exception may cover -----------------------------------------------------


def put_plain_exception(cache: Store, account: str = "netdebug") -> None:
    spec = {
        "type": "Application", "owner": "a", "reason": "Reads the disk of the node", "ticket": "T-1",
        "expiry": "2027-01-01T00:00:00Z", "images": ["v:1"], "serviceAccountName": account, "hostNamespaces": [],
    }  # fmt: skip
    cache.put(Kind.EXCEPTION, body(f"for-{account}", 5, spec=spec))


def sensor(name: str, account: str = "netdebug", **spec: Any) -> dict[str, Any]:
    """Return a pod that mounts a directory of its node."""
    disk = {"volumes": [{"name": "disk", "hostPath": {"path": "/"}}]}
    return body(name, 9, spec={"containers": [{"image": "v:1"}], "serviceAccountName": account, **(spec or disk)})


def test_pods_that_an_exception_without_host_namespaces_may_cover_are_kept(cache: Store) -> None:
    """Pods of its account that use anything of the node. They are no ordinary pods, and they have no verdict."""
    put_plain_exception(cache)
    assert state_of(cache).plain_accounts == frozenset()  # nothing was listed yet
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [sensor("a"), sensor("b")], "20")
    state = state_of(cache)
    assert ([pod_state.name for pod_state in state.plain_pods], state.plain_accounts) == (["a", "b"], {"netdebug"})
    assert (state.ordinary_pods, list(state.pods)) == (False, [])
    assert set() == read_list(cache, Kind.EVERY_POD, [sensor("a"), sensor("b")], "21")
    assert {NAMESPACE} == read_list(cache, Kind.EVERY_POD, [sensor("b")], "22")
    assert [pod_state.name for pod_state in state_of(cache).plain_pods] == ["b"]


@pytest.mark.parametrize(
    "pod_body", [sensor("a", "web"), sensor("a", nodeName="node-1")], ids=["account", "needs nothing"]
)
def test_every_other_pod_without_host_namespaces_is_ordinary(cache: Store, pod_body: dict[str, Any]) -> None:
    """The pod is of another account, or needs no exception."""
    put_plain_exception(cache)
    read_list(cache, Kind.EVERY_POD, [pod_body], "20")
    assert (state_of(cache).ordinary_pods, len(state_of(cache).plain_pods)) == (True, 0)


def test_without_such_an_exception_no_pod_is_kept(cache: Store) -> None:
    """The memory for ordinary pods does not grow with their number."""
    read_list(cache, Kind.EVERY_POD, [sensor("a")], "20")
    assert (state_of(cache).ordinary_pods, len(state_of(cache).plain_pods)) == (True, 0)
