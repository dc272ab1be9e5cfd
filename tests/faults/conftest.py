"""The governed cluster of tests/e2e, with the operator behind a proxy."""

from tests.e2e.conftest import package_world, unattended, world

__all__ = ["package_world", "unattended", "world"]
