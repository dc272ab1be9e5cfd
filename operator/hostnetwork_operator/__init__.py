"""hostnetwork-operator: host namespaces as a governed exception.

Each directory is a stage: `api` has the types and names, `decide` makes the decisions, `observe` reads the cluster,
`act` changes the cluster, and `control` runs the other stages.
"""

__version__ = "0.1.0"
