"""Regression tests: each of these tests failed once, because of a bug that was found and fixed."""

from dataclasses import replace
from typing import Any

import pytest

from hostnetwork_operator import clock
from hostnetwork_operator.api import exception, grant, labels
from hostnetwork_operator.decide import snapshot, terms
from hostnetwork_operator.observe import parse, store
from tests.property import cluster
from tests.unit.builders import (
    ADOPTED,
    AUDIT_AND_WARN,
    DENIED,
    IMAGE,
    NAMESPACE,
    NOW,
    UID,
    UNKNOWN,
    at,
    deletes,
    denied,
    flags,
    gate_level,
    governed,
    guards,
    hne,
    namespace,
    planned,
    pod,
    reasons,
    seen,
    statuses,
    verdicts,
    writes,
)

EXEMPT = governed(exempt_namespaces=(NAMESPACE,))


def _body(version: int, namespace_labels: dict[str, str], annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": NAMESPACE,
            "uid": UID,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-22T11:00:00Z",
            "labels": namespace_labels,
            "annotations": annotations,
        }
    }


def _present(values: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}


def _released() -> store.Store:
    """Return a store with a namespace that was in Deny, was exempted by the policy, and was then released.

    The operator itself released the namespace.
    """
    cache = store.Store()
    cache.put(store.Kind.NAMESPACE, _body(1, DENIED, ADOPTED))
    listing = cache.listing(store.Kind.POLICY)
    listing.page(
        [
            {
                "metadata": {
                    "name": "default",
                    "uid": "p",
                    "resourceVersion": "2",
                    "creationTimestamp": "2026-11-22T11:00:00Z",
                },
                "spec": {"mode": "Enforce", "exemptNamespaces": [NAMESPACE]},
            }
        ]
    )
    listing.end("2")
    (write,) = writes(planned(cache.snapshot(NAMESPACE)))
    cache.put(
        store.Kind.NAMESPACE, _body(3, _present({**DENIED, **write.labels}), _present({**ADOPTED, **write.annotations}))
    )
    return cache


def test_a_released_exempt_namespace_is_not_enforced_when_the_policy_cannot_be_listed() -> None:
    """The operator does not take a label that it removed itself for a Deny that a user removed."""
    cache = _released()
    cache.policy_unlisted()
    assert writes(planned(cache.snapshot(NAMESPACE))) == []


def test_a_namespace_that_stops_being_exempt_is_gated_again() -> None:
    """If an exemption ended enforcement, enforcement begins again with a gate check."""
    cache = _released()
    state = replace(cache.snapshot(NAMESPACE), policy=governed(rollout="Gated"))
    assert labels.Level.BASELINE is gate_level(planned(state))


def test_nothing_is_newly_relaxed_without_a_guard_although_a_grant_stood_in_held() -> None:
    """A grant that was written while no level was lifted for it is no reason to lift the level now."""
    subject = hne(type="Infrastructure", images=(IMAGE,))
    namespace_state = namespace(
        labels={labels.ENFORCEMENT: "Held", **AUDIT_AND_WARN},
        annotations={labels.GRANT_PREFIX + "net": terms.line_of(subject, namespace())},
    )
    namespace_plan = planned(
        seen(pod(), subject, namespace=namespace_state, guards=guards(missing=[labels.POLICY_RELAXED_NAMESPACE]))
    )
    assert not namespace_plan.relaxed


def test_where_the_target_is_privileged_a_withheld_exception_does_not_open_the_gate() -> None:
    """The gate checks the pod as admission would, with the exception withheld."""
    namespace_plan = planned(
        seen(
            pod(),
            hne(),
            namespace=namespace(),
            policy=governed(rollout="Gated", pod_security={"enforce": "privileged"}),
            guards=guards(missing=[labels.POLICY_NAMESPACE_LABELS]),
        )
    )
    assert labels.Enforcement.DENY is not namespace_plan.enforcement


def test_without_a_policy_held_by_stays() -> None:
    """The annotation keeps naming the holders of the namespace and the time since which it is Held."""
    namespace_state = namespace(
        labels={labels.ENFORCEMENT: "Held", **AUDIT_AND_WARN},
        annotations={labels.HELD_BY: "since 2026-11-22T11:00:00Z: pod x"},
    )
    assert writes(planned(seen(namespace=namespace_state, policy=UNKNOWN))) == []


def test_the_verdict_label_goes_where_a_namespace_is_exempt() -> None:
    """A pod that got the label before the namespace became exempt loses the label."""
    namespace_plan = planned(seen(pod(verdict_label="Uncovered"), namespace=namespace(), policy=EXEMPT))
    assert flags(namespace_plan) == {"capture": None}


def test_the_reason_not_approved_says_the_same_twice() -> None:
    """After a plan has written the status, the next plan does not write it again in other words."""
    subject = hne(
        metadata={"generation": 2}, status=exception.ExceptionStatus(observed_generation=1, namespace_uid="old")
    )
    new_guards = guards(since=at(minutes=-3))
    namespace_plan = planned(seen(subject, guards=new_guards))
    subject = subject.model_copy(update={"status": statuses(namespace_plan)["net"]})
    assert statuses(planned(seen(subject, guards=new_guards))) == {}


def test_a_restart_without_the_label_and_the_policy_revokes_nothing() -> None:
    """Without the label, the annotations show that the namespace was enforced and what was granted."""
    namespace_state = denied(hne())
    namespace_state = replace(
        namespace_state, labels={k: v for k, v in namespace_state.labels.items() if k != labels.ENFORCEMENT}
    )
    assert [
        k
        for w in writes(planned(seen(hne(), namespace=namespace_state, policy=UNKNOWN)))
        for k, v in w.annotations.items()
        if v is None
    ] == []


def test_a_level_that_is_lifted_again_while_one_exception_ends_is_not_told_as_restored() -> None:
    """Such an Event would say the opposite of what the operator does."""
    namespace_state = denied(hne("a"), hne("b"), labels={labels.PSA_ENFORCE: "baseline"})
    (write,) = writes(planned(seen(hne("a"), hne("b", expiry=NOW), namespace=namespace_state)))
    assert write.action != "restore"


def test_a_new_list_of_holders_is_not_told_as_a_repair_of_labels() -> None:
    """Only the holders have changed. The operator has not put back any label."""
    namespace_state = namespace(
        labels={labels.ENFORCEMENT: "Held", **AUDIT_AND_WARN},
        annotations={labels.HELD_BY: "since 2026-11-22T11:00:00Z: pod x (level baseline)"},
    )
    namespace_plan = planned(
        seen(
            namespace=namespace_state,
            policy=governed(rollout="Gated"),
            gate=snapshot.GateAnswer(labels.Level.BASELINE, NOW, ("Pod y: privileged",)),
        )
    )
    assert writes(namespace_plan)[0].action != "repair"


def test_an_arabic_letter_mark_has_no_line() -> None:
    """Invisible format characters are hostile in a grant."""
    for character in "\u061c\u00ad\u180e\u206a\ufff9\U000e0041":
        with pytest.raises(grant.GrantError):
            terms.line_of(hne(service_account_name=f"a{character}b"), namespace())


def test_null_image_and_text_capabilities_are_unreadable() -> None:
    """The operator does not guess the meaning of a value that does not have the form of the API."""
    metadata = {
        "namespace": "n",
        "name": "p",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-22T11:00:00Z",
    }
    for container in (
        {"image": None},
        {"image": 7},
        {"image": "a", "securityContext": {"capabilities": {"add": "NET_ADMIN"}}},
    ):
        assert isinstance(
            parse.pod({"metadata": metadata, "spec": {"hostNetwork": True, "containers": [container]}}),
            snapshot.UnreadablePod,
        ), container


def test_an_event_after_deleted_does_not_bring_a_ghost() -> None:
    """The operator would count and judge a ghost until the next complete list."""
    cache = store.Store()
    cache.put(store.Kind.NAMESPACE, _body(9, {}, {}))
    cache.remove(store.Kind.NAMESPACE, _body(11, {}, {}))
    cache.put(store.Kind.NAMESPACE, _body(10, {}, {}))  # the answer to our write, after the watch's DELETED
    assert None is cache.snapshot(NAMESPACE)


def test_a_header_with_an_absurd_number_says_nothing() -> None:
    """The clock keeps its estimate."""
    clock.ServerClock().observe("Sun, 22 Nov 2026 11:00:00 +999999999999999999", 1.0, 2.0)


def test_a_grant_has_no_empty_path() -> None:
    """An empty prefix would allow every path."""
    line = terms.line_of(hne(host_paths=({"path": "/x"},)), namespace()).replace("ro:/x", "ro:")
    with pytest.raises(grant.GrantError):
        grant.Grant.decode(line)


def test_from_deny_to_audit_is_told_as_such() -> None:
    """The Event does not report a repair of labels, although enforcement was on before."""
    (write,) = writes(planned(seen(namespace=denied(), policy=governed(mode="Audit"))))
    assert write.action == "audit"
    assert [event.reason for event in write.events] == ["EnforcementAudit"]


def test_a_grant_that_goes_for_a_missing_guard_is_told_once_in_a_contested_namespace() -> None:
    """Before the fix, the exception got another reason after its grant was revoked, as if it had never had a grant.

    That cost one more write and one more Event.
    """
    record = snapshot.Record(reverts=(at(minutes=-2), at(minutes=-1)), written=at(minutes=-1))
    state = seen(
        hne(),
        namespace=namespace(annotations={labels.GRANT_PREFIX + "net": terms.line_of(hne(), namespace())}),
        policy=governed(pod_security={"enforce": "privileged"}),
        guards=guards(missing=[labels.POLICY_HOST_NAMESPACES]),
        record=record,
    )
    namespace_plan = planned(state)
    assert reasons(namespace_plan) == {"net": "GuardMissing"}
    assert reasons(planned(cluster.carry_out(state, namespace_plan))) == {"net": "GuardMissing"}


def test_a_missing_guard_is_told_rather_than_a_new_one() -> None:
    """Before the fix, two plans gave two reasons.

    A grant was revoked for the missing guard, and the status of its exception then named the new guard.
    """
    new_guard = guards(since=at(seconds=-1))[labels.POLICY_HOST_NAMESPACES]
    guards_by_name = {**guards(missing=[labels.POLICY_RELAXED_NAMESPACE]), labels.POLICY_HOST_NAMESPACES: new_guard}
    state = seen(hne(), namespace=denied(hne()), guards=guards_by_name)
    namespace_plan = planned(state)
    next_plan = planned(cluster.carry_out(state, namespace_plan))
    assert f"{labels.POLICY_RELAXED_NAMESPACE!r} is missing" in namespace_plan.standings[0].why
    assert namespace_plan.standings[0].why == next_plan.standings[0].why


def test_the_last_change_of_an_exception_counts_while_its_namespace_is_deleted() -> None:
    """Before the fix, a change shortly before the deletion of the namespace was never recorded.

    The exception waited for its record and spared the pod, which then had no end. A change by an approver ends the pod.
    """
    relaxed_namespace = denied(hne(), terminating=True)
    shortened = hne(metadata={"generation": 2}, expiry=at(minutes=5))
    state = replace(seen(pod(), hne(), namespace=relaxed_namespace), exceptions=(shortened,))
    assert verdicts(planned(state)) == {"capture": "Covered"}
    assert [effect.pod for effect in deletes(planned(state, at(minutes=5)))] == [pod().reference]
