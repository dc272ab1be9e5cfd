"""The Dockerfile, checked without a container engine: the tests perform its steps one by one."""

import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
USER = 65532
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def _sources() -> list[str]:
    commands = [shlex.split(rest) for name, rest in _instructions() if name == "COPY" and not rest.startswith("--from")]
    return [source for sources in commands for source in sources[:-1]]


@pytest.fixture(scope="module")
def context() -> Iterator[pathlib.Path]:
    """A world-readable directory that contains only what the first stage copies."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="hno-image-"))
    directory.chmod(0o755)
    for name in _sources():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (directory / "src").mkdir(exist_ok=True)
            shutil.copy(source, directory / "src" / name)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def wheel(context: pathlib.Path) -> pathlib.Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    completed = subprocess.run(
        [*command, "-w", str(context / "wheels"), str(context / "src")], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    return next((context / "wheels").glob("*.whl"))


@pytest.fixture(scope="module")
def python(context: pathlib.Path, wheel: pathlib.Path) -> pathlib.Path:
    """The interpreter of a fresh venv that contains only the wheel and its dependencies."""
    interpreter = next(
        (path for path in _PYTHONS if os.access(path, os.X_OK) and _version(path) >= (3, 11)), sys.executable
    )
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(context / "venv")], check=True)
    venv_python = context / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(venv_python), "install", "--quiet"]
    constraints = ["--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    completed = subprocess.run([*install, *constraints, str(wheel)], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    return venv_python


def _version(python: str) -> tuple[int, ...]:
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    completed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in completed.stdout.split())


def _run(python: pathlib.Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run as the container would: as the image's user if possible, in a directory that is not writable."""
    image_environment = dict(
        setting.split("=", 1) for name, rest in _instructions() if name == "ENV" for setting in rest.split()
    )
    image_environment["PATH"] = (
        image_environment["PATH"].replace("/opt/venv/bin", str(python.parent)).replace("$PATH", "/usr/bin:/bin")
    )
    entry = yaml.safe_load(next(rest for name, rest in _instructions() if name == "ENTRYPOINT"))
    is_root = os.getuid() == 0
    return subprocess.run(
        [str(python.parent / entry[0]), *(arguments or entry[1:])],
        env={**image_environment, "HOME": "/", **environment},
        cwd="/proc",
        user=USER if is_root else None,
        group=USER if is_root else None,
        extra_groups=[] if is_root else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_image_is_built_in_two_stages_from_a_base_that_can_be_changed() -> None:
    """Both stages are FROM ${BASE}, and the default of BASE names no registry."""
    instructions = _instructions()
    assert [rest for name, rest in instructions if name == "ARG"] == ["BASE=python:3.13-slim"]
    assert [rest for name, rest in instructions if name == "FROM"] == ["${BASE} AS build", "${BASE}"]


def test_the_image_runs_as_the_user_of_the_deployment() -> None:
    """The numeric USER of the last stage equals runAsUser and runAsGroup."""
    last_stage = _instructions()[max(i for i, (name, _) in enumerate(_instructions()) if name == "FROM") :]
    deployment = yaml.safe_load((ROOT / "manifests" / "base" / "deployment.yaml").read_text())
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert [rest for name, rest in last_stage if name == "USER"] == [f"{USER}:{USER}"]
    assert (context["runAsUser"], context["runAsGroup"]) == (USER, USER)
    assert [rest for name, rest in last_stage if name == "ENTRYPOINT"] == ['["python", "-m", "hostnetwork_operator"]']
    assert "command" not in deployment["spec"]["template"]["spec"]["containers"][0]
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(rest for name, rest in last_stage if name == "ENV")


def test_what_is_installed_is_what_was_tested() -> None:
    """pip installs under constraints.txt and keeps no cache."""
    install = next(rest for name, rest in _instructions() if name == "RUN")
    assert "--no-cache-dir" in install
    assert "-c constraints.txt" in install


def test_the_build_context_has_what_is_copied_and_not_more() -> None:
    """.dockerignore excludes everything except what the Dockerfile copies."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {name.rstrip("/") for name in _sources()}
    assert any(fnmatch.fnmatch("operator/x/__pycache__", line) for line in lines if line.startswith("**"))
    assert [name for name in _sources() if not (ROOT / name).exists()] == []


def test_the_wheel_has_the_package_and_the_license(wheel: pathlib.Path) -> None:
    """What the first stage copies is enough to build the wheel, and the wheel contains nothing of the tests."""
    completed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    )
    names = {line.split()[0].split("/")[0] for line in completed.stdout.splitlines()[1:]}
    assert names == {"hostnetwork_operator", "hostnetwork_operator-0.1.0.dist-info"}
    assert "licenses/LICENSE" in completed.stdout


def test_without_a_cluster_it_says_so_and_ends_with_1(python: pathlib.Path) -> None:
    """Installed alone, as the image's user, in a directory that is not writable: one clear line, exit status 1."""
    completed = _run(python, {})
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert completed.stderr.startswith(
        "hostnetwork-operator: the operator needs a service account or a kubeconfig, got "
    )
    assert "; set KUBECONFIG to a kubeconfig that exists" in completed.stderr
    assert completed.stderr.count("\n") == 1
    for line in completed.stdout.splitlines():
        json.loads(line)  # the log, to which libraries write too


def test_a_wrong_setting_is_named_and_ends_with_2(python: pathlib.Path) -> None:
    """One line has the variable and its value."""
    completed = _run(python, {"HOSTNETWORK_PORT": "http"})
    assert completed.returncode == 2
    assert completed.stderr.startswith("hostnetwork-operator: environment variable HOSTNETWORK_PORT: ")
    assert completed.stderr.endswith("got 'http'\n")


def test_an_address_in_use_is_named_and_ends_with_1(python: pathlib.Path, context: pathlib.Path) -> None:
    """With two operators on one machine, the error has the address and the variables that set another address."""
    file = context / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
    users = [{"name": "c", "user": {"token": "t"}}]
    file.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"})
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        host, port = address.split(":")
        completed = _run(python, {"KUBECONFIG": str(file), "HOSTNETWORK_ADDRESS": host, "HOSTNETWORK_PORT": port})
    assert completed.returncode == 1, completed.stdout + completed.stderr
    remedy = "set HOSTNETWORK_PORT, HOSTNETWORK_PROBE_PORT or HOSTNETWORK_ADDRESS"
    reason = f"cannot listen on {address}: Address already in use; {remedy}"
    assert completed.stderr == f"hostnetwork-operator: {reason}\n"


def test_a_service_beside_the_operator_gives_it_no_settings() -> None:
    """A kubelet sets variables for each Service in the namespace, some with the operator's prefix.

    The Deployment opts out of these variables.
    """
    deployment = yaml.safe_load((ROOT / "manifests" / "base" / "deployment.yaml").read_text())
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_nothing_of_the_development_tools_is_installed(python: pathlib.Path) -> None:
    """The runtime dependencies are enough: all modules can be imported without the extra `dev`."""
    code = (
        "import importlib, importlib.util, pkgutil, hostnetwork_operator as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'hostnetwork_operator.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print([name for name in ('pytest', 'hypothesis', 'ruff', 'mypy') if importlib.util.find_spec(name)])"
    )
    completed = _run(python, {}, "-c", code)
    assert (completed.stdout, completed.returncode) == ("[]\n", 0), completed.stderr
