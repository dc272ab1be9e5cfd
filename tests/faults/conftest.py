"""The governed cluster of tests/e2e, with the operator behind a proxy."""

from tests.e2e.conftest import installed, unattended, world

__all__ = ["installed", "unattended", "world"]
