"""Metrics with access control: over TLS, with a token whose user the API server allows to get /metrics."""

import pathlib
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from hostnetwork_operator.control import access
from tests.controlplane import operator
from tests.docs import markdown
from tests.docs import test_readme_commands as readme
from tests.e2e.conftest import World, enforced

COMPONENT = operator.ROOT / "manifests" / "components" / "metrics-auth"
PAGE = markdown.ROOT / "docs" / "howto" / "monitoring.md"
ACCOUNTS = "/api/v1/namespaces/hostnetwork-system/serviceaccounts"
SECRET = "/api/v1/namespaces/hostnetwork-system/secrets/hostnetwork-operator-metrics-token"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
ASKS = f"{BINDINGS}/hostnetwork-operator-metrics-auth"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory of the operator's certificate."""
    return tmp_path_factory.mktemp("metrics-tls")


@pytest.fixture(scope="module")
def world(directory: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The operator with the component's variables and rights, and a reader as docs/howto/monitoring.md makes it."""
    variables = {"HOSTNETWORK_METRICS_AUTH": "TokenReview", "HOSTNETWORK_METRICS_CERT_DIR": str(directory)}
    with enforced(**variables) as world:
        for file in sorted(COMPONENT.glob("metrics-*.yaml")):
            operator.apply(world.cluster, "-f", str(file))
        renew(world, directory)
        (block,) = markdown.blocks(PAGE)
        readme.Reader(world.cluster, tmp_path_factory.mktemp("checkout")).paste(block.script)
        world.admin.post(ACCOUNTS, {"metadata": {"name": "stranger"}}).expect(201)
        world.operator.start()
        yield world


def renew(world: World, directory: pathlib.Path) -> str:
    """Write another certificate, as cert-manager would, and return the certificate."""
    certificate, key = world.cluster.authority.issue("metrics", "metrics")
    certificate.rename(directory / "tls.crt")
    key.rename(directory / "tls.key")
    return (directory / "tls.crt").read_text()


def ask(world: World, token: str | None) -> tuple[int, str]:
    """Return status and body of GET /metrics with this token."""
    context = ssl.create_default_context(cafile=str(world.cluster.authority.certificate_path))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"https://127.0.0.1:{world.operator.port}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def token_of(world: World, account: str) -> str:
    """Return a token that no request has used yet."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(world.admin.post(f"{ACCOUNTS}/{account}/token", request).expect(201).body["status"]["token"])


def reviews(world: World) -> int:
    """Return how many TokenReviews the API server has received."""
    return sum(event.get("objectRef", {}).get("resource") == "tokenreviews" for event in world.cluster.audit_events())


def test_the_page_is_for_who_may_get_it(world: World) -> None:
    """A30: Only the documentation's reader gets the metrics, with the token of its Secret or with a fresh token."""
    world.until("the token", lambda: "token" in world.admin.get(SECRET).expect(200).body.get("data", {}))
    completed = world.cluster.kubectl(
        *"get secret hostnetwork-operator-metrics-token -n hostnetwork-system".split(),
        "-o=go-template={{.data.token | base64decode}}",
    )
    for token in (completed.stdout, token_of(world, "metrics-reader")):
        status, body = ask(world, token)
        assert (status, "hostnetwork_operator_build_info" in body) == (200, True), body
    status, body = ask(world, token_of(world, "stranger"))
    stranger = 'user "system:serviceaccount:hostnetwork-system:stranger"'
    remedy = f"must be allowed to get /metrics, and is not; bind ClusterRole {access.READER} to this user"
    assert (status, body) == (403, f"{stranger} {remedy}\n")
    header, payload, signature = completed.stdout.split(".")
    forged = f"{header}.{payload}.{signature[::-1]}"
    for token in (None, forged, "forged"):
        status, body = ask(world, token)
        assert (status, "hostnetwork_" in body) == (401, False), body
    assert [world.operator.probe(path) for path in ("/healthz", "/readyz")] == [200, 200]


def test_a_token_for_somebody_else_is_refused(world: World) -> None:
    """The token's audience is not the API server."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["https://vault.example.com"]},
    }
    answer = world.admin.post(f"{ACCOUNTS}/metrics-reader/token", request).expect(201)
    assert ask(world, answer.body["status"]["token"])[0] == 401


def test_a_renewed_certificate_is_served(world: World, directory: pathlib.Path) -> None:
    """The running process serves the new certificate."""
    address, pid = ("127.0.0.1", world.operator.port), world.operator.pid
    first_certificate = ssl.get_server_certificate(address, timeout=60)
    second_certificate = renew(world, directory)
    assert ssl.get_server_certificate(address, timeout=60) == second_certificate != first_certificate
    assert world.operator.pid == pid
    assert ask(world, token_of(world, "metrics-reader"))[0] == 200


def test_forged_tokens_do_not_flood_the_api_server(world: World) -> None:
    """A30: The API server reviews few of 300 forged tokens, and a known reader can still read."""
    token, reviews_before = token_of(world, "metrics-reader"), reviews(world)
    world.until("the reader is known", lambda: ask(world, token)[0] == 200)
    statuses = {ask(world, f"forged-{number}")[0] for number in range(300)}
    assert statuses == {401, 429}
    assert ask(world, token)[0] == 200
    assert reviews(world) - reviews_before < 150


def test_without_the_rights_nobody_reads_and_the_log_says_why(world: World) -> None:
    """The answer is 503; later the operator asks again without a restart. No token is in the log."""
    binding = world.admin.get(ASKS).expect(200).body
    token = token_of(world, "metrics-reader")
    world.admin.delete(ASKS).expect(200)
    status, body = 0, ""

    def unanswered() -> bool:
        nonlocal status, body
        status, body = ask(world, token_of(world, "metrics-reader"))
        return status == 503

    world.until("RBAC refuses the review", unanswered)
    assert "see metrics-review-failed in the log" in body
    pattern = r'"error": "POST [^"]*/tokenreviews[^"]*: 403 Forbidden: .*cannot create resource ..tokenreviews'
    assert re.search(f'"metrics-review-failed", {pattern}', world.operator.log.read_text())
    metadata = {key: binding["metadata"][key] for key in ("name", "labels")}
    world.admin.post(BINDINGS, {**binding, "metadata": metadata}).expect(201)
    world.until("it asks again", lambda: ask(world, token)[0] == 200)
    log = world.operator.log.read_text()
    assert not any(part in log for part in (*token.split("."), "forged-"))
