"""`python -m hostnetwork_operator.seal check DIR`: whether an API server can load a directory of static policies.

An API server does not start with a file that it cannot load, and keeps the last good files if it runs
(docs/howto/seal.md). So the check belongs before the copy. The rules are those of k8s.io/apiserver 1.37,
pkg/admission/plugin/policy/manifest/loader. Only the API server can compile the expressions of a policy: the check
compares the seal with the seal of this release, and names every other policy.
"""

import argparse
import pathlib
import re
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from hostnetwork_operator.api import fingerprint, labels, shipped

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_RESERVED: Final = ".static.k8s.io"
_API_VERSION: Final = "admissionregistration.k8s.io/v1"
_POLICY: Final = "ValidatingAdmissionPolicy"
_BINDING: Final = f"{_POLICY}Binding"
_METADATA: Final = frozenset({"name", "labels", "annotations"})
# The fields of admissionregistration.k8s.io/v1, without paramKind and paramRef, which static objects must not have.
_SPEC: Final = {
    _POLICY: frozenset(
        {"failurePolicy", "matchConstraints", "matchConditions", "validations", "auditAnnotations", "variables"}
    ),
    _BINDING: frozenset({"policyName", "validationActions", "matchResources"}),
}
_PARAMETERS: Final = frozenset({"paramKind", "paramRef"})
_SEPARATOR: Final = re.compile(r"^---[^\S\n]*$", re.MULTILINE)  # as in k8s.io/apimachinery/pkg/util/yaml
_COPY: Final = "copy manifests/static/seal.yaml of this release"


class CheckError(Exception):
    """An API server cannot load the directory. The message is one line with the file, the fault and the remedy."""


@dataclass(slots=True)
class Contents:
    """The objects of a directory by name, in the order of the files."""

    policies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    bindings: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """Loads YAML as the API server does: a key that occurs twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - yaml's
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(directory: pathlib.Path) -> Contents:
    """Return the policies and bindings of a directory. Raise CheckError if an API server would not load them."""
    contents = Contents()
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in _SUFFIXES and not path.is_dir())
    except OSError as error:
        raise CheckError(f"{directory}: the directory must be readable, got {error.strerror}") from error
    for path in paths:
        for body in _objects(path):
            _take(contents, path, body)
    for name, binding in contents.bindings.items():
        if binding["policyName"] not in contents.policies:
            raise CheckError(
                f"{directory}: binding {name} must name a policy of the same directory, got {binding['policyName']!r};"
                f" {_COPY}"
            )
    return contents


def state(contents: Contents) -> str:
    """Return what the files do, in one line. Raise CheckError if they have no seal of this release."""
    policy, binding = contents.policies.get(labels.SEAL), contents.bindings.get(labels.SEAL)
    if policy is None or binding is None:
        raise CheckError(f"the directory must have the policy and the binding {labels.SEAL}; {_COPY}")
    if fingerprint.digest(policy) != shipped.SEAL.policy:
        raise CheckError(f"policy {labels.SEAL} must have the text of this release, got another text; {_COPY}")
    bound = fingerprint.digest(binding)
    if bound not in {shipped.SEAL.closed, shipped.SEAL.open}:
        raise CheckError(f"binding {labels.SEAL} must have the text of this release, got another text; {_COPY}")
    return "the seal is closed" if bound == shipped.SEAL.closed else "the seal is OPEN"


def configured(path: pathlib.Path, directory: pathlib.Path) -> None:
    """Raise CheckError if an AdmissionConfiguration does not have the API server load this directory."""
    (body, *more) = list(_objects(path)) or [{}]
    plugins = body.get("plugins")
    if more or body.get("kind") != "AdmissionConfiguration" or not isinstance(plugins, list):
        raise CheckError(f"{path}: the file must have one AdmissionConfiguration with plugins")
    of_policies = [plugin for plugin in plugins if isinstance(plugin, dict) and plugin.get("name") == _POLICY]
    places = [(plugin.get("configuration") or {}).get("staticManifestsDir") for plugin in of_policies]
    if places != [str(directory)]:
        raise CheckError(
            f"{path}: staticManifestsDir of the plugin {_POLICY} must be {directory}, got {places or 'no such plugin'};"
            " see manifests/static/apiserver/admission-configuration.yaml"
        )


def _objects(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    try:
        texts = [text for text in _SEPARATOR.split(path.read_text()) if text.strip()]
        documents = [yaml.load(text, _Loader) for text in texts]  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise CheckError(f"{path}: the file must be readable, got {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise CheckError(f"{path}: the file must be YAML or JSON, got {' '.join(str(error).split())}") from error
    for document in documents:
        if not isinstance(document, dict):  # comments alone are a document too
            text = "comments alone" if document is None else type(document).__name__
            raise CheckError(f"{path}: between two lines --- there must be an object, got {text}; remove the line ---")
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from document["items"]
        else:
            yield document


def _take(contents: Contents, path: pathlib.Path, body: Mapping[str, Any]) -> None:
    """Add an object. Raise CheckError for an object that is not allowed in such a directory."""
    kind, metadata, spec = body.get("kind"), body.get("metadata"), body.get("spec")
    if body.get("apiVersion") != _API_VERSION or kind not in _SPEC:
        raise CheckError(
            f"{path}: each object must be a {_POLICY} or {_BINDING} of {_API_VERSION}, got {kind} of"
            f" {body.get('apiVersion')}; remove the object"
        )
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise CheckError(f"{path}: each object must have metadata and spec; {_COPY}")
    name = str(metadata.get("name") or "")
    if not name.endswith(_RESERVED):
        raise CheckError(f"{path}: the name of {kind} must end in {_RESERVED}, got {name!r}; rename the object")
    if parameters := sorted(_PARAMETERS & spec.keys()):
        raise CheckError(f"{path}: {kind} {name} must have no {parameters[0]}; a policy from a file has no parameters")
    unknown = [
        *(key for key in body if key not in {"apiVersion", "kind", "metadata", "spec"}),
        *(f"metadata.{key}" for key in metadata if key not in _METADATA),
        *(f"spec.{key}" for key in spec if key not in _SPEC[kind]),
    ]
    if unknown:
        raise CheckError(f"{path}: {kind} {name} must have only known fields, got {unknown[0]}; remove the field")
    objects = contents.policies if kind == _POLICY else contents.bindings
    if name in objects:
        raise CheckError(f"{path}: {kind} {name} must be in the directory once, got it twice; remove one of the files")
    if kind == _BINDING and not isinstance(spec.get("policyName"), str):
        raise CheckError(f"{path}: {kind} {name} must have spec.policyName; {_COPY}")
    objects[name] = spec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0 fine, 1 an API server would not load the files, 2 usage."""
    parser = argparse.ArgumentParser(
        prog="python -m hostnetwork_operator.seal", description=(__doc__ or "").partition("\n\n")[0].partition(": ")[2]
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser(
        "check",
        help="check a directory before it is copied to the control plane nodes",
        epilog="example: python -m hostnetwork_operator.seal check manifests/static",
    )
    check.add_argument("directory", metavar="DIR", type=pathlib.Path, help="the directory of static policies")
    check.add_argument(
        "--configuration", metavar="FILE", type=pathlib.Path, help="the AdmissionConfiguration, to check it too"
    )
    check.add_argument(
        "--path", metavar="DIR", type=pathlib.Path, help="the directory on the node, if that is another directory"
    )
    options = parser.parse_args(arguments)
    try:
        contents = read(options.directory)
        found = state(contents)
        if options.configuration is not None:
            configured(options.configuration, options.path or options.directory.absolute())
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.directory}: {found}; an API server can load the files")
    for name in sorted(contents.policies.keys() - {labels.SEAL}):
        print(f"note: policy {name} is not of this release; only the API server checks its expressions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
