"""Durations as in GEP-2257, times to the second, and models that never change."""

import datetime

import pydantic
import pytest

from hostnetwork_operator.api import exception, fields, grant, meta, policy
from tests.unit import builders


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400),
        ("1h30m", 5400),
        ("90m", 5400),
        ("0s", 0),
        ("500ms", 0.5),
        ("1h1m1s1ms", 3661.001),
        ("99999h", 359996400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """Hours, minutes, seconds and milliseconds add up."""
    assert datetime.timedelta(seconds=seconds) == fields.parse_duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "24", "1d", "1.5h", "-1h", "+1h", "1 h", "1h ", "24H", "1h\n", "\u0661h", "100000h", "1h1h1h1h1h", None, 24],
)
def test_a_text_that_is_no_duration_says_what_one_is(text: object) -> None:
    """The error names the expected form and the given text."""
    with pytest.raises(ValueError, match="duration must be like 24h or 1h30m") as raised:
        fields.parse_duration(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("text", ["0s", "1h", "1h30m", "24h", "2160h", "500ms", "1h1m1s1ms", "1m", "30s"])
def test_a_duration_is_written_at_its_shortest(text: str) -> None:
    """format_duration is the inverse of parse_duration."""
    assert text == fields.format_duration(fields.parse_duration(text))


def test_longer_ways_of_saying_it_are_shortened() -> None:
    """Ninety minutes are an hour and a half."""
    assert fields.format_duration(fields.parse_duration("90m")) == "1h30m"


def test_models_do_not_change() -> None:
    """An object that was read from the cluster is frozen."""
    with pytest.raises(pydantic.ValidationError):
        builders.hne().spec.owner = "somebody-else"


def test_a_field_of_a_newer_release_is_ignored() -> None:
    """A field that only a newer CRD has is no error."""
    assert policy.Mode.AUDIT is policy.PolicySpec.model_validate({"mode": "Audit", "future": 1}).mode


@pytest.mark.parametrize("text", ["2026-11-22T16:00:00+01:00", "2027-02-29T16:00:00Z", "soon"])
def test_a_time_in_another_form_is_refused(text: str) -> None:
    """A time in a spec must be in UTC and to the second."""
    with pytest.raises(pydantic.ValidationError):
        builders.hne(expiry=text)


def test_an_exception_without_expiry_ends_in_the_year_9999() -> None:
    """So the end of an exception without expiry can be compared with any other end."""
    assert builders.hne(type="Infrastructure").spec.until == grant.ENDLESS


def test_an_absent_service_account_is_default() -> None:
    """A pod without a service account also gets `default`."""
    assert builders.hne(service_account_name=None).spec.service_account == "default"


@pytest.mark.parametrize(
    ("kind", "on_expiry", "deletes"),
    [
        ("Diagnostic", None, True), ("Diagnostic", "Delete", True), ("Diagnostic", "Report", False),
        ("Application", None, False), ("Infrastructure", None, False),
    ],
)  # fmt: skip
def test_only_diagnostic_exceptions_delete(kind: str, on_expiry: str | None, deletes: bool) -> None:
    """They delete pods unless onExpiry is Report."""
    assert deletes is builders.hne(type=kind, on_expiry=on_expiry).spec.deletes


def test_metadata_that_a_tenant_writes_is_not_read() -> None:
    """Decisions cannot use managedFields, labels or annotations by mistake, because the model has none of them."""
    claims = {"managedFields": [{"time": "0000-01-01T00:00:00Z"}], "labels": {"a": "b"}, "annotations": 7}
    parsed = meta.ObjectMeta.model_validate({**builders.meta("x"), **claims})
    assert parsed == meta.ObjectMeta.model_validate(builders.meta("x"))


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True), ({"matchLabels": {"team": "net"}}, True), ({"matchLabels": {"team": "web"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["net", "web"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["net"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["net"]}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["net"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"team": "net"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)  # fmt: skip
def test_selectors_select_as_in_kubernetes(selector: dict[str, object], matches: bool) -> None:
    """All of matchLabels and all of matchExpressions must match.

    NotIn also matches if the label is absent. An empty selector matches everything.
    """
    assert matches is policy.LabelSelector.model_validate(selector).matches({"team": "net", "tier": "a"})


def test_the_status_is_written_under_the_names_of_the_crd() -> None:
    """namespaceUID is spelled as Kubernetes spells it."""
    written = exception.ExceptionStatus(namespace_uid="u", covered_pods=1).model_dump(mode="json", by_alias=True)
    assert {"namespaceUID": "u", "coveredPods": 1}.items() <= written.items()
