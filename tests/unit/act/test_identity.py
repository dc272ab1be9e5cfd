"""The identity that the operator uses with the API server, and the error if no identity works."""

import pathlib

import pytest

from hostnetwork_operator.act import identity

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {CLUSTER}}]
users: [{name: u, user: {USER}}]
"""
SERVER = 'server: "https://127.0.0.1:1"'


def kubeconfig(directory: pathlib.Path, cluster: str = SERVER, user: str = "token: x") -> pathlib.Path:
    """Write a kubeconfig with this cluster and this user, and return its path."""
    path = directory / "config"
    path.write_text(KUBECONFIG.replace("CLUSTER", cluster).replace("USER", user))
    return path


@pytest.fixture(autouse=True)
def outside(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test as outside a pod, and without a kubeconfig."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


async def reason_of_refusal() -> str:
    """Return the reason why there is no configuration, which must be one line."""
    with pytest.raises(identity.IdentityError) as raised:
        await identity.configure()
    text = str(raised.value)
    assert text.splitlines() == [text]
    return text


def _check_names(path: pathlib.Path, text: str) -> None:
    assert text.startswith("kubeconfig '")
    assert f"{path}' must " in text
    assert text.endswith("; correct the file, or set KUBECONFIG to another file")


@pytest.mark.parametrize("value", [None, ""])
async def test_without_any_identity_the_default_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBECONFIG names no file, the home directory has none, and the process does not run in a pod."""
    if value is not None:
        monkeypatch.setenv("KUBECONFIG", value)
    assert (
        "(Service host/port is not set) and no file '~/.kube/config'; set KUBECONFIG to a " in await reason_of_refusal()
    )


async def test_a_pod_without_a_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod with automountServiceAccountToken: false has no token."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert "got no service account (Service token file does not exist) and no file" in await reason_of_refusal()


async def test_the_default_kubeconfig_is_read(tmp_path: pathlib.Path) -> None:
    """If KUBECONFIG names no file, the operator reads the kubeconfig in the home directory."""
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube")
    assert (await identity.configure()).host == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    "text", [b"clusters: [ {name", b"just text", b"", b"\xff\xfe\x00", b"current-context: nowhere", b"[1, 2]"]
)
async def test_a_file_that_is_no_kubeconfig_is_named(
    text: bytes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the file is broken."""
    path = tmp_path / "config"
    path.write_bytes(text)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{path}")
    _check_names(path, await reason_of_refusal())


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        (f"{SERVER}, certificate-authority: /none/ca.crt", "token: x"),
        (f'{SERVER}, certificate-authority-data: "a"', "token: x"),
        (SERVER, "client-certificate: /none/tls.crt, client-key: /none/tls.key"),
        (SERVER, "tokenFile: /none/token"),
        ("insecure-skip-tls-verify: true", "token: x"),
        ('server: "127.0.0.1:1"', "token: x"),
    ],
)
async def test_a_kubeconfig_that_names_what_is_not_there_is_named(
    cluster: str, user: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificates, the key, the token or a usable server is missing."""
    path = kubeconfig(tmp_path, cluster, user)
    monkeypatch.setenv("KUBECONFIG", str(path))
    _check_names(path, await reason_of_refusal())
