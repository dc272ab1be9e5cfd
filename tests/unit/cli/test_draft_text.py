"""A draft as text is YAML that says what the draft says, whatever its words are."""

import pytest
import yaml

from hostnetwork_operator.api.exception import ExceptionType
from hostnetwork_operator.api.labels import Level
from hostnetwork_operator.cli import draft_text
from hostnetwork_operator.decide import classify, draft, snapshot
from tests.unit.builders import NAMESPACE, NOW, host_path, pod

TOP = snapshot.Reference("DaemonSet", NAMESPACE, "agent", "uid-of-agent", "apps/v1")
SEEN = classify.Classification(ExceptionType.APPLICATION, None, "", classify.Confidence.UNKNOWN, ())


@pytest.mark.parametrize("for_approval", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        "team-sre",
        "yes",
        "2026-01-01",
        "1e3",
        "a: b # c",
        "{x: y}",
        'a" \n  owner: "b',
        "\x1b]0;title\x07\u202e\u2028",
        "Zürich \U0001f98a",
        "---",
        "'",
    ],
)
def test_the_text_is_the_manifest(words: str, *, for_approval: bool) -> None:
    """Words of people are quoted, and what is applied is what is shown, in plain characters."""
    drafted = draft.draft(TOP, [pod(host_paths=frozenset({host_path("/var/log")}))], SEEN, Level.BASELINE)
    justification = draft.Justification(words, words, words, words, NOW)
    found = draft_text.Drafted(drafted, TOP, SEEN, {}, "")
    text = draft_text.render(found, for_approval=for_approval, justification=justification)
    assert yaml.safe_load(text) == drafted.manifest(justification)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
