"""READ: from the cluster to frozen snapshots. Nothing in here decides or changes anything."""
