"""READ: from the cluster to frozen snapshots. No module in this package decides or changes anything."""
