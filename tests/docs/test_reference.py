"""The tables of docs/reference agree with the code: nothing is missing, and nothing is listed that does not exist."""

import enum
import re
import subprocess

import pytest
import yaml

import hostnetwork_operator
from hostnetwork_operator import config
from hostnetwork_operator.api import conditions, exception, labels
from hostnetwork_operator.decide import exhibits, messages, rules
from tests.docs import markdown
from tests.report_page import samples

ROOT = markdown.ROOT
_OTHER_REASONS: dict[conditions.ConditionType, type[enum.StrEnum]] = {
    conditions.ConditionType.IN_USE: conditions.InUse,
    conditions.ConditionType.EXPIRING: conditions.Expiring,
    conditions.ConditionType.REVIEW_DUE: conditions.ReviewDue,
    conditions.ConditionType.CLEANED_UP: conditions.CleanedUp,
}
_POLICY_REASONS: tuple[type[enum.StrEnum], ...] = (
    conditions.PolicyReady,
    conditions.Guarded,
    conditions.Contested,
    conditions.ClockSynchronized,
    conditions.KubernetesTested,
    conditions.Sealed,
    conditions.LedgerIntact,
)


def test_every_event_reason_is_documented_and_no_other() -> None:
    """The table of Events lists every possible reason of an Event once."""
    findings = {rule.id for rule in rules.RULES}
    reasons = {*messages.Reason, *messages.PolicyReason, *findings, *conditions.Ready}
    assert sorted(reasons) == sorted(markdown.column("events"))


def test_the_reasons_of_events_on_the_policy_are_those_of_its_conditions() -> None:
    """Every reason of a policy condition has an Event, except Changing, SealUnknown and the contests of namespaces."""
    policy_reasons = {f"Policy{reason}" for reasons in _POLICY_REASONS for reason in reasons}
    without_event = {
        f"Policy{reason}" for reason in (conditions.Guarded.CHANGING, conditions.Sealed.UNKNOWN, *conditions.Contested)
    }
    assert set(messages.PolicyReason) == (policy_reasons - without_event) | {messages.PolicyReason.LEDGER_SEEDED}


def test_every_reason_of_ready_is_documented_and_no_other() -> None:
    """The table of Ready lists every reason of an exception's Ready condition, in the order of the code."""
    assert [reason.value for reason in conditions.Ready] == markdown.column("ready")


def test_the_reasons_of_other_conditions_are_documented_and_no_other() -> None:
    """The table lists every reason of each other condition of an exception, with the condition."""
    documented = [
        (kind, reason)
        for kinds, reasons, *_ in markdown.table("other-reasons")
        for kind in markdown.codes(kinds)
        for reason in markdown.codes(reasons)
    ]
    expected = [(kind.value, reason.value) for kind, reasons in _OTHER_REASONS.items() for reason in reasons]
    assert sorted(documented) == sorted(expected)


def test_every_condition_is_documented() -> None:
    """docs/reference/reasons.md names each condition type as code."""
    text = markdown.REASONS.read_text()
    assert [kind for kind in conditions.ConditionType if f"`{kind.value}`" not in text] == []


def test_the_reasons_of_the_policy_are_documented_and_no_other() -> None:
    """The table lists the reasons of all conditions of the policy."""
    expected = [reason.value for reasons in _POLICY_REASONS for reason in reasons]
    assert markdown.column("policy-reasons") == expected


def test_every_verdict_is_documented_and_no_other() -> None:
    """The table of verdicts lists every verdict, in the order of the code."""
    assert [verdict.value for verdict in labels.Verdict] == markdown.column("verdicts")


def test_every_label_and_annotation_is_documented_and_no_other() -> None:
    """The table lists every key that the operator or label-at-birth writes, and says which keys are labels."""
    operator_labels = {
        f"label {key}" for key in (labels.ENFORCEMENT, labels.GUARD, labels.GUARD_VERSION, labels.VERDICT)
    }
    psa_labels = {
        f"label {key}" for key in (labels.PSA_ENFORCE, labels.PSA_AUDIT, labels.PSA_WARN, *labels.PSA_VERSIONS)
    }
    annotation_keys = (labels.BORN_WITH, labels.HELD_BY, labels.LEVEL_BEFORE, labels.GRANT_PREFIX + "<exception>")
    annotations = {f"annotation {key}" for key in annotation_keys}
    documented = {row[0].strip("| ").replace("`", "") for row in markdown.table("keys")}
    assert operator_labels | psa_labels | annotations == documented
    assert f"`{labels.MIRROR}`" in markdown.LABELS.read_text()


def test_no_key_stands_in_the_documentation_that_does_not_exist() -> None:
    """Every key under the operator's prefix, anywhere in the documentation, is in the table, or is for rules."""
    documented = {key.split()[-1] for key in (row[0].strip("| ").replace("`", "") for row in markdown.table("keys"))}
    documented |= {labels.API_VERSION, f"{labels.GROUP}/wave"}
    for document in markdown.DOCUMENTS:
        text = document.read_text().replace("\\.", ".")
        mentioned = set(re.findall(rf"(?<!exception\.)(?:grant\.)?{re.escape(labels.GROUP)}/[\w<>-]*[\w>]", text))
        assert mentioned - documented == set(), document.name


def test_every_environment_variable_is_documented_with_its_default_and_no_other() -> None:
    """The table of environment variables equals config.Config, field by field."""
    fields = config.Config.model_fields
    expected = [[f"HOSTNETWORK_{name.upper()}", str(field.default)] for name, field in fields.items()]
    actual = [["".join(markdown.codes(cell)) for cell in row[:2]] for row in markdown.table("environment")]
    assert expected == actual
    log_levels = next(row for row in markdown.table("environment") if "LOG_LEVEL" in row[0])[2]
    assert markdown.codes(log_levels) == ["DEBUG", "INFO", "WARNING", "ERROR"]


def test_every_documented_variable_is_accepted() -> None:
    """The operator accepts each documented variable with its default; any other name is an error."""
    environment = {markdown.codes(row[0])[0]: "".join(markdown.codes(row[1])) for row in markdown.table("environment")}
    assert config.Config() == config.from_environment(environment)
    with pytest.raises(config.ConfigError):
        config.from_environment({"HOSTNETWORK_NO_SUCH": "1"})


def test_every_admission_policy_is_documented_and_no_other() -> None:
    """The table of admission policies lists the objects of manifests/admission and manifests/components."""
    names = set()
    for path in [*(ROOT / "manifests/admission").glob("*.yaml"), *(ROOT / "manifests/components").rglob("*.yaml")]:
        for body in yaml.safe_load_all(path.read_text()):
            if body["kind"] in {"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"}:
                names.add(body["metadata"]["name"].removesuffix(f".{labels.GROUP}"))
    assert names == set(markdown.column("policies"))
    assert {name.removesuffix(f".{labels.GROUP}") for name in labels.POLICIES} <= names


def test_every_make_target_is_documented_and_no_other() -> None:
    """The documentation has every target of `make help`, and every make target in the documentation exists."""
    completed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    targets = set(re.findall(r"^  make ([a-z-]+)", completed.stdout, re.MULTILINE))
    text = "\n".join(document.read_text() for document in markdown.DOCUMENTS)
    documented = set(re.findall(r"(?:`(?:[A-Z]+=\S+ )?|^)make ([a-z-]+)", text, re.MULTILINE))
    assert targets | {"help"} == documented | {"help"}


def test_the_fields_that_can_change_are_said() -> None:
    """The list of mutable fields in docs/howto/exceptions.md equals the CRD's mutable fields."""
    text = markdown.EXCEPTIONS.read_text()
    paragraph = text[text.index("`expiry`, `owner`") :].split(" can change")[0]
    fields = {field.alias or name for name, field in exception.ExceptionSpec.model_fields.items()}
    assert fields - set(exception.IMMUTABLE) - {"namespace"} == set(markdown.codes(paragraph))


def test_every_field_of_the_evidence_is_documented_and_no_other() -> None:
    """Also the words that decide: the results, what restricts a namespace, and the kinds of violations."""
    rows = markdown.table("evidence")
    written = exhibits.document(samples.nothing())
    assert [code for row in rows for code in markdown.codes(row[0])] == [
        *("apiVersion", "kind", "generated", "asOf", "tool", "cluster", "control", "scope", "verdicts", "summary"),
        *(
            "governance",
            "namespaces",
            "workloads",
            "exceptions",
            "violations",
            "findings",
            "duties",
            "method",
            "mapping",
        ),
    ]
    assert {code for row in rows for code in markdown.codes(row[0])} == set(written)
    documented = {code for row in rows for code in markdown.codes(row[1])}
    for words in (exhibits.Determination, exhibits.Restriction, exhibits.ViolationKind):
        assert {word.value for word in words} <= documented
    for field in ("tool", "cluster", "control", "scope", "method"):
        assert set(written[field]) <= documented


def test_the_version_is_the_same_everywhere() -> None:
    """Package, README and changelog have the same version."""
    version = hostnetwork_operator.__version__
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"newTag: {version}}}" in markdown.README.read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_no_metric_stands_in_the_documentation_that_does_not_exist() -> None:
    """Every name with the metrics prefix in the documentation is in the table of metrics (or is the package)."""
    documented = {*markdown.column("metrics"), "hostnetwork_operator"}
    for document in markdown.DOCUMENTS:
        assert set(re.findall(r"\bhostnetwork_\w+", document.read_text())) - documented == set(), document.name


def test_links_lead_somewhere() -> None:
    """Every relative link names an existing file or directory, and every anchor a heading of its page."""
    for document in markdown.DOCUMENTS:
        for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            page = document.parent / path if path else document
            assert page.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in markdown.anchors(page), f"{document.name}: {target}"
