"""Namespaces get their target level, keep it, and keep a stricter level that another client set."""

from tests.e2e.conftest import ENFORCED, LABEL, PSA, World


def test_a_new_namespace_gets_its_labels(world: World) -> None:
    """A namespace that nobody labelled is enforced at the policy's levels, and an Event reports that."""
    name = world.namespace()
    assert {**ENFORCED, "kubernetes.io/metadata.name": name} == world.labels(name)
    world.until("its Event", lambda: ("Namespace", name, "LevelEnforced") in world.events(name))


def test_a_removed_label_comes_back_with_an_event(world: World) -> None:
    """The operator restores each of its labels that a cluster administrator removes, and an Event reports that."""
    for label in (PSA, f"{PSA}-version", "pod-security.kubernetes.io/warn", f"{LABEL}/enforcement"):
        name = world.namespace()
        labels_before = world.labels(name)
        world.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {label: None}}}).expect(200)
        world.until(
            f"{label} is back", lambda name=name, labels_before=labels_before: world.labels(name) == labels_before
        )
        event = ("Namespace", name, "LabelsRepaired")
        world.until("the Event", lambda name=name, event=event: event in world.events(name))


def test_a_stricter_level_that_somebody_set_stays(world: World) -> None:
    """Restricted set by a user survives each re-evaluation by the operator, and no exception lifts it."""
    name = world.namespace()
    stricter = {"metadata": {"labels": {PSA: "restricted"}}}
    world.admin.patch(f"/api/v1/namespaces/{name}?fieldManager=somebody", stricter).expect(200)
    world.exception(name).expect(201)
    world.until("the exception is judged", lambda: world.ready(name) == "LevelOwnedByOther")
    assert world.labels(name)[PSA] == "restricted"
    assert "another client set the label" in world.condition(name)["message"]
    assert world.grants(name) == {}


def test_a_looser_level_is_tightened(world: World) -> None:
    """The operator changes an administrator's privileged back to the target."""
    name = world.namespace()
    looser = {"metadata": {"labels": {PSA: "privileged"}}}
    world.admin.patch(f"/api/v1/namespaces/{name}?fieldManager=somebody", looser).expect(200)
    world.until("it is put back", lambda: world.labels(name)[PSA] == "baseline")


def test_a_namespace_with_an_offender_is_held_and_says_by_whom(unattended: World) -> None:
    """An existing pod is not refused: the namespace waits, names the pod, and is enforced once the pod is deleted."""
    unattended.operator.stop()
    name = unattended.namespace(deny=False, old=True)
    unattended.pod(name, "squatter").expect(201)
    unattended.operator.start()
    unattended.until("it is Held", lambda: unattended.labels(name).get(f"{LABEL}/enforcement") == "Held")
    held_by = unattended.metadata(name)["annotations"][f"{LABEL}/held-by"]
    assert "squatter" in held_by
    assert PSA not in unattended.labels(name)
    unattended.until("the pod is flagged", lambda: unattended.verdict(name, "squatter") == "Uncovered")
    unattended.admin.delete(f"{unattended.pods(name)}/squatter", {"gracePeriodSeconds": 0}).expect(200)
    unattended.until(
        "it is enforced", lambda: unattended.labels(name).get(f"{LABEL}/enforcement") == "Deny", deadline_seconds=90
    )
    assert unattended.labels(name)[PSA] == "baseline"


def test_exempt_namespaces_are_not_written_into(world: World) -> None:
    """kube-system gets no label of the operator, even with host pods; the pods are counted as Exempt."""
    world.pod("kube-system", "agent").expect(201)
    world.until("it is counted", lambda: 'namespace="kube-system",verdict="Exempt"} 1.0' in world.operator.metrics())
    assert not [key for key in world.labels("kube-system") if LABEL in key or "pod-security" in key]
    assert world.verdict("kube-system", "agent") is None
    world.admin.delete(f"{world.pods('kube-system')}/agent", {"gracePeriodSeconds": 0}).expect(200)


def test_a_namespace_goes_with_everything_in_it(unattended: World) -> None:
    """A namespace with grants, exceptions and pods can be deleted without the operator; nothing blocks the deletion."""
    name = unattended.namespace()
    unattended.granted_pod(name)
    unattended.operator.stop()
    unattended.admin.delete(f"/api/v1/namespaces/{name}").expect(200)
    unattended.until("it is gone", lambda: unattended.admin.get(f"/api/v1/namespaces/{name}").status == 404, 60)
