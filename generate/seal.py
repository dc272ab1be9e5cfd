"""manifests/static/open/seal.yaml: the seal with a binding that only warns, so that both files have the same policy."""

import pathlib
from typing import Final

_STATIC: Final = pathlib.Path(__file__).parent.parent / "manifests" / "static"
_CLOSED: Final = "  validationActions: [Deny]\n"
_HEADER: Final = """# Generated from manifests/static/seal.yaml by `make generate`; do not edit.
#
# The open seal: the same policy, bound to warn and to audit. While this file is on the control plane nodes in place of
# seal.yaml, administrators can upgrade or remove hostnetwork-operator. Each change gets a warning and an audit
# annotation.
#
"""


def files() -> dict[pathlib.Path, str]:
    """Return the open seal. Raise ValueError if the seal has not exactly one binding that denies."""
    before, after = (_STATIC / "seal.yaml").read_text().split(_CLOSED)
    return {_STATIC / "open" / "seal.yaml": f"{_HEADER}{before}  validationActions: [Warn, Audit]\n{after}"}
