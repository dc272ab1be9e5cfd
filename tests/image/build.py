"""Builds this checkout's Dockerfile with the package index of this machine's pip configuration."""

import ast
import configparser
import json
import pathlib
import sys
from dataclasses import dataclass

from tests.controlplane import operator
from tests.image import base

_CONFIG = "/etc/pip.conf"


@dataclass(frozen=True)
class Image:
    """An image as a container runtime knows it: the unpacked file system and the configuration."""

    root: pathlib.Path
    environment: dict[str, str]
    command: tuple[str, ...]
    user: str


def build(directory: pathlib.Path) -> Image:
    """Build the image with its own storage in `directory`. Raise base.ImageError on failure."""
    base.install_tools()
    buildah = base.Buildah(directory)
    arguments = ["--quiet", "--network=host", "--layers=false", f"--build-arg=BASE={base.find_or_make()}"]
    arguments += [f"--volume={source}:{target}:ro" for source, target in _pip(directory).items()]
    name = buildah("build", *arguments, str(operator.ROOT)).splitlines()[-1]
    container = buildah("from", name)
    (root,) = buildah("mount", container).splitlines()
    config = json.loads(buildah("inspect", "--type=image", name))["OCIv1"]["config"]
    return Image(
        pathlib.Path(root),
        dict(setting.split("=", 1) for setting in config["Env"]),
        tuple(config["Entrypoint"]),
        config["User"],
    )


def _pip(directory: pathlib.Path) -> dict[str, str]:
    """Return local paths and their paths in the build: a pip.conf with pip's settings here, and the files it names."""
    settings = base.run([sys.executable, "-m", "pip", "config", "list"])
    config = configparser.ConfigParser(interpolation=None)
    config.add_section("global")
    files = {}
    # The environment has precedence over every file.
    for line in sorted(settings.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        section_name = "global" if section == ":env:" else section
        if not config.has_section(section_name):
            config.add_section(section_name)
        config.set(section_name, option, text := str(ast.literal_eval(value)))
        if pathlib.Path(text).is_absolute() and pathlib.Path(text).exists():
            files[text] = text
    path = directory / "pip.conf"
    with path.open("w") as file:
        config.write(file)
    return {str(path): _CONFIG, **files}
