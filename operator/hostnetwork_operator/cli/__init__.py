"""`kubectl hostnetwork`: one module per verb. A verb reads the cluster, decides by decide/, and renders one result."""
