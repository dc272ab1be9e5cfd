"""One name means one thing in the whole package."""

import ast
import collections
import pathlib

import hostnetwork_operator

PACKAGE = pathlib.Path(hostnetwork_operator.__file__).parent


def _classes() -> dict[str, list[str]]:
    """Return the modules of each class by its name, private classes too."""
    modules = collections.defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                modules[node.name.lstrip("_")].append(str(path.relative_to(PACKAGE)))
    return modules


def test_no_two_classes_have_the_same_name() -> None:
    """A reader who meets the name of a class knows which class is meant."""
    classes = _classes()
    assert "NamespacePlan" in classes
    assert {name: modules for name, modules in classes.items() if len(modules) > 1} == {}
