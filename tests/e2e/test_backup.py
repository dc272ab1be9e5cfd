"""The steps of docs/howto/backup-and-restore.md bring back pods with host namespaces and Held namespaces."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.e2e.conftest import IMAGE, LABEL, World

DOCUMENT = markdown.ROOT / "docs" / "howto" / "backup-and-restore.md"
BLOCKS = {block.name: block for block in markdown.blocks(DOCUMENT)}
POLICY = f"/apis/{LABEL}/v1alpha1/hostnetworkexceptionpolicies/default"


@pytest.fixture
def reader(unattended: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[readme.Reader]:
    """A reader with a directory `backup` that contains the objects of two namespaces."""
    reader = readme.Reader(unattended.cluster, tmp_path_factory.mktemp("restore"))
    spec_before = unattended.admin.get(POLICY).expect(200).body["spec"]
    yield reader
    unattended.admin.patch(POLICY, {"spec": {"restoreGrace": spec_before.get("restoreGrace")}}).expect(200)


def _namespace(name: str, enforcement: str, **annotations: str) -> dict[str, Any]:
    labels = {f"{LABEL}/enforcement": enforcement, "pod-security.kubernetes.io/audit": "restricted"}
    if enforcement == "Deny":
        labels |= {"pod-security.kubernetes.io/enforce": "privileged", f"{LABEL}/guard": "baseline"}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _write(reader: readme.Reader, name: str, *bodies: dict[str, Any]) -> None:
    file = reader.checkout / "backup" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n---\n".join(json.dumps(body) for body in bodies))


def _pod(namespace: str) -> dict[str, Any]:
    spec = {"hostNetwork": True, "containers": [{"name": "main", "image": IMAGE}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "capture", "namespace": namespace}, "spec": spec}


def test_the_page_is_true(unattended: World, reader: readme.Reader) -> None:
    """In the page's order everything is restored; an old grant has no effect; a Held namespace waits for its pods."""
    old_line = (
        "5f0c8f1e-0000-4000-8000-000000000001|Infrastructure|9999-12-31T23:59:59Z|default|Network|true|privileged|-|-|*"
    )
    old_grant = {f"grant.{LABEL}/capture": old_line}
    held_annotation = {f"{LABEL}/held-by": "since 2020-01-01T00:00:00Z: Pod capture: host namespaces (level baseline)"}
    _write(
        reader,
        "namespaces",
        _namespace("payments", "Deny", **old_grant),
        _namespace("later", "Held", **held_annotation),
    )
    spec = {"type": "Diagnostic", "owner": "team-sre", "reason": "Capture SYN retries", "ticket": "INC-4711"}
    spec |= {"expiry": unattended.time(3600), "images": [IMAGE]}
    exception = {"apiVersion": f"{LABEL}/v1alpha1", "kind": "HostNetworkException"}
    _write(reader, "exceptions", {**exception, "metadata": {"name": "capture", "namespace": "payments"}, "spec": spec})
    _write(reader, "pods", _pod("payments"), _pod("later"))
    reader.paste(BLOCKS["grace"].script.replace("2h", "40s"))
    unattended.until("the grace is known", lambda: unattended.admin.get(POLICY).body["spec"]["restoreGrace"] == "40s")
    reader.paste(BLOCKS["exceptions"].script)
    assert old_line not in unattended.grants("payments").values()
    account = "/api/v1/namespaces/{}/serviceaccounts/default"
    for name in ("payments", "later"):
        unattended.until("its account", lambda name=name: unattended.admin.get(account.format(name)).status == 200)
    reader.paste(BLOCKS["rest"].script)
    unattended.until("it is covered", lambda: unattended.status("payments").get("coveredPods") == 1)
    held_by = f"{LABEL}/held-by"
    assert unattended.labels("later")[f"{LABEL}/enforcement"] == "Held"
    reason = "Pod capture: host namespaces (hostNetwork=true)"
    unattended.until("it is looked at", lambda: reason in unattended.metadata("later")["annotations"][held_by], 90)
    assert "2020" not in unattended.metadata("later")["annotations"][held_by]
    unattended.admin.delete(f"{unattended.pods('later')}/capture", {"gracePeriodSeconds": 0}).expect(200)
    unattended.until("it is enforced", lambda: unattended.enforced("later"), 90)


def test_every_block_is_run() -> None:
    """The test above leaves out no command of the page."""
    assert set(BLOCKS) == {"exceptions", "rest", "grace"}
