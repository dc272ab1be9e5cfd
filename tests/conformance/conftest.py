"""The cluster that the comparisons share."""

from tests.governed import cluster, governed, new_namespace

__all__ = ["cluster", "governed", "new_namespace"]
