"""Object files tried on a real API server: it accepts those in good/ and refuses those in bad/ helpfully.

A file contains one object, or two: then the test creates the first, with its status if it has one, and changes it to
the second. The comments at the top of a bad file are parts of the expected refusal: the field, the rule, the given
value and the remedy. The comments at the top of a good file are `path = value` pairs that the answer must have, as
JSON.
"""

import itertools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hostnetwork_operator.api import exception, labels, policy
from tests.controlplane import api
from tests.controlplane import cluster as controlplane

HERE = pathlib.Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))
PLURALS = {exception.KIND: exception.PLURAL, policy.KIND: policy.PLURAL}
_numbers = itertools.count(1)


def stem(file: pathlib.Path) -> str:
    return file.stem


def objects(file: pathlib.Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def comments(file: pathlib.Path) -> list[str]:
    lines = itertools.takewhile(lambda line: line.startswith("#"), file.read_text().splitlines())
    return [line.removeprefix("#").strip() for line in lines]


@pytest.fixture(scope="module")
def namespace(crd_cluster: controlplane.Cluster) -> str:
    """A namespace for the objects that must exist first."""
    name = "crd-objects"
    crd_cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
    return name


@pytest.fixture
def attempt(crd_cluster: controlplane.Cluster, namespace: str) -> Callable[[list[dict[str, Any]]], api.Response]:
    """Return a function that creates the object in a dry run.

    With two objects, the function creates the first and changes it into the second for real.
    """

    def create(bodies: list[dict[str, Any]]) -> api.Response:
        kind = bodies[0]["kind"]
        scope = f"namespaces/{namespace}/" if kind == exception.KIND else ""
        path = f"/apis/{labels.API_VERSION}/{scope}{PLURALS[kind]}"
        if len(bodies) == 1:
            return crd_cluster.admin.post(f"{path}?dryRun=All&fieldValidation=Strict", bodies[0])
        first, second = bodies
        name = f"{first['metadata']['name']}-{next(_numbers)}"
        stored = crd_cluster.admin.post(path, {**first, "metadata": {"name": name}}).expect(201).body
        if "status" in first:
            stored = crd_cluster.admin.patch(f"{path}/{name}/status", {"status": first["status"]}).expect(200).body
        changed = {**stored, "spec": second["spec"]}
        return crd_cluster.admin.put(f"{path}/{name}?fieldValidation=Strict", changed)

    return create


@pytest.mark.parametrize("file", BAD, ids=stem)
def test_a_bad_object_is_refused_in_words_that_help(
    file: pathlib.Path, attempt: Callable[[list[dict[str, Any]]], api.Response]
) -> None:
    """The refusal names the field, the rule, the given value and the remedy, and shows no regular expression."""
    expected = comments(file)
    assert expected, f"{file} says nothing about the refusal"
    answer = attempt(objects(file))
    assert answer.status == 422, f"{answer.status}: {answer.message}"
    assert [part for part in expected if part not in answer.message] == [], answer.message
    assert "should match '" not in answer.message
    assert "failed rule" not in answer.message
    assert len(answer.message) < 3000


@pytest.mark.parametrize("file", GOOD, ids=stem)
def test_a_good_object_is_taken_and_its_defaults_are_filled_in(
    file: pathlib.Path, attempt: Callable[[list[dict[str, Any]]], api.Response]
) -> None:
    """The API server accepts the object without a warning, and the answer has the values in the file's comments."""
    answer = attempt(objects(file))
    answer.expect(200, 201)
    assert answer.warnings == ()
    for line in comments(file):
        path, _, value = line.partition(" = ")
        field_value = answer.body
        for part in path.split("."):
            field_value = field_value.get(part) if isinstance(field_value, dict) else None
        assert (path, json.loads(value)) == (path, field_value)


def test_every_immutable_field_has_a_change_on_disk() -> None:
    """For each immutable field there is a bad file that changes it, one that removes it, and one that adds it."""
    names = {file.stem for file in BAD}
    defaulted = {"hostNamespaces", "hostPorts", "privileged", "podSecurityLevel"}
    expected = {f"change-{field}" for field in exception.IMMUTABLE}
    # A field with a default is never absent, and neither is type.
    optional = [field for field in exception.IMMUTABLE if field not in defaulted | {"type"}]
    expected |= {f"{how}-{field}" for field in optional for how in ("add", "remove")}
    assert set() == expected - names


def test_every_mutable_field_has_a_change_on_disk() -> None:
    """For each mutable field there is a good file that changes it."""
    fields = set(exception.ExceptionSpec.model_json_schema(by_alias=True)["properties"])
    mutable = fields - {*exception.IMMUTABLE, "namespace"}
    assert {f"change-{field}" for field in mutable} == {file.stem for file in GOOD if file.stem.startswith("change-")}
