"""SIGTERM while many exceptions end: the operator emits each Event about what it did before the process ends."""

from tests.e2e.conftest import PSA, World

_MANY = 20


def test_sigterm_loses_no_event(unattended: World) -> None:
    """Twenty Diagnostics expire in the same second, and SIGTERM comes when the first pod is gone.

    No later process knows that there was a pod.
    """
    names = [unattended.namespace(deny=False) for _ in range(_MANY)]
    for name in names:
        unattended.until(f"{name} enforced", lambda name=name: unattended.enforced(name))
    expiry = unattended.time(45)
    for name in names:
        unattended.exception(name, expiry=expiry).expect(201)
    for name in names:
        unattended.until("a pod", lambda name=name: unattended.pod(name, terminationGracePeriodSeconds=0).status == 201)
    unattended.until("one pod is gone", lambda: any(map(unattended.is_deleted, names)), deadline_seconds=90)
    assert unattended.operator.stop() == 0
    ended = [name for name in names if unattended.is_deleted(name)]
    assert {name for name in ended if "ExpiredPodDeleted" not in _reasons(unattended, name)} == set()
    restored = {name for name in names if unattended.labels(name)[PSA] == "baseline"}
    assert {name for name in restored if "LevelRestored" not in _reasons(unattended, name)} == set()


def _reasons(world: World, name: str) -> set[str]:
    return {reason for _, _, reason in world.events(name)}
