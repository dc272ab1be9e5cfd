"""What Pod Security warns about a label of a namespace: pods that violate the level, or that it did not check all."""

import pytest

from hostnetwork_operator.cli import whatif

HEADER = 'existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"'


@pytest.mark.parametrize(
    ("warnings", "subjects", "failed"),
    [
        ([], [], ""),
        ([HEADER, "a: host namespaces (hostNetwork=true)"], ["Pod a"], ""),
        (
            [HEADER, "a (and 1 other pod): privileged", "b.c-1 (and 12 other pods): hostPath volumes"],
            ["Pod a (and 1 other pod)", "Pod b.c-1 (and 12 other pods)"],
            "",
        ),
        (
            ["failed to list pods while checking new PodSecurity enforce level"],
            [],
            "failed to list pods while checking new PodSecurity enforce level",
        ),
        (
            ["new PodSecurity enforce level only checked against the first 3000 of 4000 existing pods", HEADER, "a: x"],
            ["Pod a"],
            "new PodSecurity enforce level only checked against the first 3000 of 4000 existing pods",
        ),
        (
            ['namespace "shop" is exempt from Pod Security, and the policy (enforce=baseline:latest) will be ignored'],
            [],
            'namespace "shop" is exempt from Pod Security, and the policy (enforce=baseline:latest) will be ignored',
        ),
        (["Validation failed for a policy: a rule"], [], "Validation failed for a policy: a rule"),
        (["one: comes before the header", "two"], [], "one: comes before the header; two"),
    ],
)
def test_a_warning_names_a_pod_or_makes_the_answer_incomplete(
    warnings: list[str], subjects: list[str], failed: str
) -> None:
    """Nothing is called clean because a warning was not understood."""
    refused, why_not = whatif.warned(warnings)
    assert ([each.subject for each in refused], why_not) == (subjects, failed)
