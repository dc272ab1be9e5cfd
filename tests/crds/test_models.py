"""The models read the API server's objects, and the API server accepts the models' objects."""

from typing import Any

import pytest

from hostnetwork_operator.api import conditions, exception, grant, labels, policy
from hostnetwork_operator.decide import coverage, snapshot, status, summary, validity
from hostnetwork_operator.observe import parse
from tests.controlplane import cluster as controlplane
from tests.crds.test_objects import GOOD, objects, stem
from tests.unit import builders

NAMESPACE = "crd-models"


@pytest.fixture(scope="module")
def model_cluster(crd_cluster: controlplane.Cluster) -> controlplane.Cluster:
    crd_cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).expect(201)
    return crd_cluster


def path_of(body: dict[str, Any]) -> str:
    if body["kind"] == policy.KIND:
        return f"/apis/{labels.API_VERSION}/{policy.PLURAL}"
    return f"/apis/{labels.API_VERSION}/namespaces/{NAMESPACE}/{exception.PLURAL}"


def spec_of(body: dict[str, Any]) -> exception.ExceptionSpec | policy.PolicySpec | None:
    if body["kind"] == policy.KIND:
        # An answer to a dry run has no resourceVersion.
        return parse.host_network_policy({**body, "metadata": {"resourceVersion": "1", **body["metadata"]}}).spec
    parsed = parse.host_network_exception(body)
    assert isinstance(parsed, exception.HostNetworkException), parsed
    return parsed.spec


@pytest.mark.parametrize("file", GOOD, ids=stem)
def test_the_models_read_what_the_api_server_gives(model_cluster: controlplane.Cluster, file: Any) -> None:
    """The model reads every good object with its defaults, and the object that the model writes is read back equal."""
    body = objects(file)[-1]
    answer = model_cluster.admin.post(f"{path_of(body)}?dryRun=All", body).expect(201).body
    spec = spec_of(answer)
    assert spec is not None
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    second_answer = model_cluster.admin.post(
        f"{path_of(body)}?dryRun=All&fieldValidation=Strict", {**body, "spec": written}
    )
    assert spec == spec_of(second_answer.expect(201).body)


def test_defaults_of_the_models_are_those_of_the_api_server(model_cluster: controlplane.Cluster) -> None:
    """An object with only the required fields is read the same before and after the API server adds the defaults."""
    for file in GOOD:
        body = objects(file)[-1]
        metadata = {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-22T12:00:00Z"}
        raw = {**body, "metadata": {**body["metadata"], "namespace": NAMESPACE, **metadata}}
        answer = model_cluster.admin.post(f"{path_of(body)}?dryRun=All", body).expect(201).body
        assert spec_of(raw) == spec_of(answer), file


def test_the_status_of_an_exception_is_taken_and_read_back(model_cluster: controlplane.Cluster) -> None:
    """/status accepts the result of status_for completely, and it is read back equal, so no second write is needed."""
    body = next(objects(file)[0] for file in GOOD if file.stem == "diagnostic")
    path = path_of(body)
    created = model_cluster.admin.post(path, {**body, "metadata": {"name": "with-status"}}).expect(201).body
    subject = parse.host_network_exception(created)
    assert isinstance(subject, exception.HostNetworkException)
    standing = validity.Standing(subject, conditions.Ready.EXPIRED, 'it ended\tjust "now" …')
    pods = [builders.pod(f"pod-{number:02}-" + "n" * 240) for number in range(12)]
    verdicts = [coverage.PodVerdict(pod, labels.Verdict.COVERED, "", (subject,)) for pod in pods]
    verdicts += [coverage.PodVerdict(builders.pod("left"), labels.Verdict.EXPIRED, "", (subject,))]
    expected = status.status_for(standing, builders.namespace(), verdicts, labels.Enforcement.DENY, builders.NOW)
    patch = {"status": expected.model_dump(mode="json", by_alias=True)}
    status_path = f"{path}/{subject.metadata.name}/status?fieldValidation=Strict"
    answer = model_cluster.admin.patch(status_path, patch).expect(200)
    assert answer.warnings == ()
    parsed = parse.host_network_exception(answer.body)
    assert isinstance(parsed, exception.HostNetworkException)
    assert expected == parsed.status
    assert expected == status.status_for(
        validity.Standing(parsed, standing.reason, standing.why),
        builders.namespace(),
        verdicts,
        labels.Enforcement.DENY,
        builders.at(minutes=5),
    )
    assert subject.spec == parsed.spec


def test_the_status_of_a_policy_is_taken_and_read_back(model_cluster: controlplane.Cluster) -> None:
    """/status accepts the result of policy_status, and it is read back equal."""
    body = next(objects(file)[0] for file in GOOD if file.stem == "policy-shortest")
    path = f"{path_of(body)}/{policy.NAME}"
    policy_object = parse.host_network_policy(model_cluster.admin.post(path_of(body), body).expect(201).body)
    plans = [builders.planned(builders.seen(builders.pod(), builders.hne()))]
    expected = summary.policy_status(policy_object, plans, builders.NOW)
    patch = {"status": expected.model_dump(mode="json", by_alias=True)}
    answer = model_cluster.admin.patch(f"{path}/status?fieldValidation=Strict", patch)
    model_cluster.admin.delete(path).expect(200)
    parsed = parse.host_network_policy(answer.expect(200).body)
    assert isinstance(parsed, snapshot.PolicyObject)
    assert expected == parsed.status
    assert expected == summary.policy_status(parsed, plans, builders.at(minutes=5))


def test_times_are_read_as_they_are_written(model_cluster: controlplane.Cluster) -> None:
    """The grant line has the same time as the expiry that the API server accepted."""
    body = next(objects(file)[0] for file in GOOD if file.stem == "infrastructure-with-expiry")
    answer = model_cluster.admin.post(f"{path_of(body)}?dryRun=All", body).expect(201).body
    spec = spec_of(answer)
    assert isinstance(spec, exception.ExceptionSpec)
    assert body["spec"]["expiry"] == grant.format_time(spec.until)
