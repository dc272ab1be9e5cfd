"""The same governed cluster as in tests/e2e, and the operator behind a proxy."""

from tests.e2e.conftest import installed, unattended, world

__all__ = ["installed", "unattended", "world"]
