"""`kubectl hostnetwork report` on real clusters: it agrees with the operator, and not looked at is never a pass."""

import csv
import hashlib
import json
import pathlib
import time
from typing import Any

import pytest

from tests.cli.conftest import hostnetwork
from tests.controlplane import cluster
from tests.e2e.conftest import World

NOT_DETERMINED = "NOT DETERMINED"


def evidence(target: cluster.Cluster, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Return the JSON of a report that ends with this status. Its SHA-256 is on stderr."""
    completed = hostnetwork(target, "report", "-o", "json", "--out", "-", *arguments)
    assert completed.returncode == status, completed.stderr
    assert hashlib.sha256(completed.stdout.encode()).hexdigest() in completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def results(document: dict[str, Any]) -> list[str]:
    return [line["result"] for line in document["verdicts"]]


@pytest.fixture(scope="module")
def excepted(module_world: World) -> str:
    """A namespace with a pod that an exception covers."""
    namespace = module_world.namespace()
    module_world.granted_pod(namespace, "capture")
    return namespace


def test_a_report_agrees_with_the_operator(world: World, excepted: str) -> None:
    """The relaxed namespace is restricted by the admission policy, its pod runs, and its exception is in force."""
    document = evidence(world.cluster, "-n", excepted)
    assert results(document) == ["PASS", "FAIL", "PASS"]
    (namespace,) = document["namespaces"]
    assert (namespace["relaxed"], namespace["restriction"]) == (True, "AdmissionPolicy")
    (workload,) = document["workloads"]
    (exception,) = document["exceptions"]
    assert (workload["verdict"], workload["exceptions"]) == ("Covered", [exception["name"]])
    assert exception["state"] == world.ready(excepted, exception["name"])
    assert (
        exception["uid"] == world.admin.get(f"{world.exceptions(excepted)}/{exception['name']}").body["metadata"]["uid"]
    )
    assert document["scope"] == {**document["scope"], "namespace": excepted, "notLookedAt": []}
    assert all(each["inPlace"] for each in document["governance"]["admissionPolicies"])
    assert document["governance"]["policy"]["spec"]["mode"] == "Enforce"
    duties = {each["right"]: each["holders"] for each in document["duties"]}
    assert "Group system:masters by cluster-admin" in duties["approve exceptions"]
    assert any(
        "daemon-set-controller" in name
        for name in duties["create pods or workloads in kube-system, where no exception is needed"]
    )


def test_a_moment_in_the_future_shows_what_will_have_expired(world: World, excepted: str) -> None:
    moment = world.time(86_400)
    document = evidence(world.cluster, "-n", excepted, "--as-of", moment)
    assert (document["asOf"], document["generated"] < moment) == (moment, True)
    assert (document["exceptions"][0]["state"], document["workloads"][0]["verdict"]) == ("Expired", "Expired")
    assert results(document)[2] == "FAIL"
    past = hostnetwork(world.cluster, "report", "--out", "-", "--as-of", "2020-01-01T00:00:00Z")
    assert (past.returncode, past.stdout) == (1, "")
    assert "is in the past" in past.stderr


def test_contacts_can_be_masked(world: World, excepted: str) -> None:
    path = f"{world.exceptions(excepted)}/{evidence(world.cluster, '-n', excepted)['exceptions'][0]['name']}"
    world.admin.patch(path, {"spec": {"contact": "net@example.com"}}).expect(200)
    shown = evidence(world.cluster, "-n", excepted)
    hidden = evidence(world.cluster, "-n", excepted, "--mask-contacts")
    assert "net@example.com" in json.dumps(shown)
    assert "net@example.com" not in json.dumps(hidden)
    assert (hidden["exceptions"][0]["contact"], hidden["scope"]["contactsMasked"]) == ("[contact 1]", True)


def test_each_form_is_a_file(bare: cluster.Cluster, tmp_path: pathlib.Path) -> None:
    """Also where nothing is installed. The answers go to stderr, and stdout stays empty."""
    for form in ("html", "json", "csv"):
        completed = hostnetwork(bare, "report", "-o", form, "--out", str(tmp_path / form))
        assert (completed.returncode, completed.stdout) == (0, ""), completed.stderr
        assert f"Wrote {tmp_path / form}. SHA-256 of the evidence: " in completed.stderr
        assert "FAIL: Policy in every namespace: " in completed.stderr
    document = json.loads((tmp_path / "json").read_text())
    assert (document["governance"]["installed"], document["exceptions"]) == (False, [])
    assert document["cluster"]["uid"] == bare.admin.get("/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    assert "hostnetwork-operator is not installed" in (tmp_path / "html").read_text()
    with (tmp_path / "csv").open(encoding="utf-8-sig", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file) if row["record"] == "namespace"]
    assert names == [each["name"] for each in document["namespaces"]]
    nowhere = hostnetwork(bare, "report", "--out", str(tmp_path / "none" / "file"))
    assert (nowhere.returncode, nowhere.stderr) == (
        1,
        f"error: '{tmp_path / 'none' / 'file'}' cannot be written: No such file or directory\n",
    )


def test_a_person_without_rights_gets_no_pass(bare: cluster.Cluster) -> None:
    """The report is written, names each thing that was not looked at, and ends with status 1."""
    document = evidence(bare, "--as", "nobody", status=1)
    assert results(document) == [NOT_DETERMINED] * 3
    missing = {each["what"] for each in document["scope"]["notLookedAt"]}
    assert {"pods", "namespaces", "roles", "operator", "cluster uid", "validatingadmissionpolicies"} <= missing
    assert all(duty["holders"] is None for duty in document["duties"])


def test_an_archive_grows_and_is_proved(bare: cluster.Cluster, tmp_path: pathlib.Path) -> None:
    """Each report follows the one before. A report that was changed makes the exit status 3, also in JSON."""
    archive, page = tmp_path / "archive", tmp_path / "page.html"
    first = hostnetwork(bare, "report", "--append", str(archive))
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    head = first.stderr.split("Head of the archive: ")[1].split()[0]
    time.sleep(1.1)  # the archive refuses a second report of the same second
    second = hostnetwork(bare, "report", "--append", str(archive), "--out", str(page))
    assert (second.returncode, "Added report 2" in second.stderr) == (0, True), second.stderr
    assert "<dd>2, on 1 day</dd>" in page.read_text()
    proved = hostnetwork(bare, "report", "--verify", str(archive), "--head", head)
    assert (proved.returncode, proved.stdout.startswith("The chain is intact: 2 reports from ")) == (0, True)
    _, last = sorted(archive.glob("report-*.json"))
    last.write_text(last.read_text().replace('"FAIL"', '"PASS"'))
    broken = hostnetwork(bare, "report", "--verify", str(archive), "-o", "json")
    document = json.loads(broken.stdout)
    assert (broken.returncode, document["intact"], document["reports"]) == (3, False, 2)
    assert document["broken"] == [f"{last.name} is missing, or is not the report that was added: its SHA-256 differs"]


def test_several_clusters_have_a_file_each(
    bare: cluster.Cluster, three_clusters: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A cluster that does not answer is named, and the others have their files."""
    names = ("bare", "governed", "gone")
    flags = [flag for name in names for flag in ("--context", name)]
    out = str(tmp_path / "{context}.json")
    written = hostnetwork(bare, "report", "-o", "json", "--out", out, *flags, user=three_clusters)
    assert (written.returncode, "not looked at: cluster gone: " in written.stderr) == (1, True), written.stderr
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert {name: each["governance"]["installed"] for name, each in found.items()} == {"bare": False, "governed": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--out FILE or --append DIR"),
        (("--out", "a", "--head", "b"), "--head is for --verify"),
        (("--verify", "a", "--out", "b"), "--verify reads no cluster"),
        (("--append", "a", "-n", "b"), "one whole cluster now"),
        (("--out", "a", "--context", "b", "--context", "c"), "{context}"),
    ],
)
def test_flags_that_do_not_fit_are_named(bare: cluster.Cluster, arguments: tuple[str, ...], said: str) -> None:
    wrong = hostnetwork(bare, "report", *arguments)
    assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr
