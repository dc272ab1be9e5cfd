"""hostnetwork-operator: host namespaces as a governed exception.

Directories are stages: `api` has the words, `decide` thinks, `observe` reads the cluster, `act` changes it,
`control` runs the others.
"""

__version__ = "0.1.0"
