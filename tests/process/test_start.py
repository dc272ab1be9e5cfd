"""If the process cannot start, it prints one line and exits with status 1. A person reads that line, at night."""

import asyncio
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from tests.unit import serving
from tests.unit.act.test_identity import SERVER, kubeconfig
from tests.unit.control.test_versions import Server, version


def run_operator(directory: pathlib.Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the operator, which must exit, with only PATH from our environment."""
    settings = {"PATH": os.environ["PATH"], "HOME": str(directory), "HOSTNETWORK_ADDRESS": "127.0.0.1"}
    settings |= {"HOSTNETWORK_PORT": "0", "HOSTNETWORK_PROBE_PORT": "0", **environment}
    command = [sys.executable, "-m", "hostnetwork_operator"]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)


def one_line(completed: subprocess.CompletedProcess[str]) -> str:
    """Return the line that the operator printed. Fail unless it is the only line on stderr and the exit status is 1."""
    assert completed.returncode == 1, completed.stdout + completed.stderr
    assert "Traceback" not in completed.stdout
    (line,) = completed.stderr.splitlines()
    return line


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    """The line says what to set."""
    path = tmp_path / "none"
    assert one_line(run_operator(tmp_path, KUBECONFIG=str(path))) == (
        "hostnetwork-operator: the operator needs a service account or a kubeconfig, got no service account (Service"
        f" host/port is not set) and no file '{path}'; set KUBECONFIG to a kubeconfig that exists, or run the operator"
        " as manifests/base does"
    )


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: pathlib.Path) -> None:
    """The error is one line, however many lines the parser's message has."""
    path = tmp_path / "config"
    path.write_text("clusters: [ {name")
    line = one_line(run_operator(tmp_path, KUBECONFIG=str(path)))
    assert line.startswith(f"hostnetwork-operator: kubeconfig '{path}' must be valid, got ParserError: while ")
    assert line.endswith("; correct the file, or set KUBECONFIG to another file")


def test_a_certificate_that_is_none_is_named(tmp_path: pathlib.Path) -> None:
    """The line names the fields that can be wrong."""
    path = kubeconfig(tmp_path, f'{SERVER}, certificate-authority-data: "AAAA"')
    line = one_line(run_operator(tmp_path, KUBECONFIG=str(path)))
    assert "the certificates for https://127.0.0.1:1 must be usable, got " in line
    assert line.endswith("; correct certificate-authority, client-certificate and client-key in the kubeconfig")


@pytest.mark.parametrize("variable", ["HOSTNETWORK_PORT", "HOSTNETWORK_PROBE_PORT"])
def test_a_port_in_use_is_named(tmp_path: pathlib.Path, variable: str) -> None:
    """For either of the two ports, the line names the variables that change the port and the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        completed = run_operator(tmp_path, KUBECONFIG=str(kubeconfig(tmp_path)), **{variable: port})
    assert one_line(completed) == (
        f"hostnetwork-operator: cannot listen on 127.0.0.1:{port}: Address already in use; set HOSTNETWORK_PORT,"
        " HOSTNETWORK_PROBE_PORT or HOSTNETWORK_ADDRESS"
    )


def test_an_address_that_is_none_is_named(tmp_path: pathlib.Path) -> None:
    """The line says why the operator cannot listen on the address."""
    completed = run_operator(tmp_path, KUBECONFIG=str(kubeconfig(tmp_path)), HOSTNETWORK_ADDRESS="192.0.2.1")
    assert "cannot listen on 192.0.2.1:0: Cannot assign requested address; set HOSTNETWORK_PORT" in one_line(completed)
    completed = run_operator(tmp_path, KUBECONFIG=str(kubeconfig(tmp_path)), HOSTNETWORK_ADDRESS="no-such-host.invalid")
    assert "cannot listen on no-such-host.invalid:0: " in one_line(completed)
    assert "Unknown error" not in completed.stderr


async def test_the_start_waits_for_a_version_and_ends_if_the_version_is_not_understood(tmp_path: pathlib.Path) -> None:
    """The answer of a proxy is logged, and the operator asks again.

    A version that is not understood ends the process with one line and status 1.
    """
    server = Server()
    server.says({}, b"<html>", version("", "", "next"))
    async with serving.url_of(server.answer) as url:
        path = kubeconfig(tmp_path, f"server: '{url}'")
        completed = await asyncio.to_thread(run_operator, tmp_path, KUBECONFIG=str(path))
    assert "api-server-unreachable" in completed.stdout
    assert one_line(completed).startswith("hostnetwork-operator: the version of Kubernetes must begin with a major and")


def test_whole_garbage_collections_are_rare(tmp_path: pathlib.Path) -> None:
    """With the default, one happens every six pages of a list, and holds the event loop for a tenth of a second."""
    script = (
        "import gc; from hostnetwork_operator import __main__; from hostnetwork_operator.control import startup\n"
        "async def run(settings): print(gc.get_threshold()[2] >= 1000, gc.get_freeze_count() > 0, gc.isenabled())\n"
        "startup.run = run; __main__.main()"
    )
    settings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    completed = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=True)
    assert completed.stdout.split() == ["True", "True", "True"]
