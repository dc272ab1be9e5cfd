"""The names that the operator writes on objects of other owners, or reads there. No other module has these strings."""

import enum
from typing import Final

GROUP: Final = "hostnetwork-operator.github.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
MANAGER: Final = "hostnetwork-operator"  # field manager, event source, service account, Deployment
MANAGED_BY: Final = "app.kubernetes.io/managed-by"  # on reports, https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
SYSTEM_NAMESPACE: Final = "hostnetwork-system"
OPERATOR_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{MANAGER}"
# Labels that charts and manifests set on their pods. They say what a pod was installed with.
RELEASE: Final = ("app.kubernetes.io/instance", "app.kubernetes.io/part-of", "app")

# On namespaces.
ENFORCEMENT: Final = f"{GROUP}/enforcement"
GUARD: Final = f"{GROUP}/guard"
GUARD_VERSION: Final = f"{GROUP}/guard-version"
# Annotations on namespaces.
HELD_BY: Final = f"{GROUP}/held-by"
LEVEL_BEFORE: Final = f"{GROUP}/level-before"
BORN_WITH: Final = f"{GROUP}/born-with"
GRANT_PREFIX: Final = f"grant.{GROUP}/"
# On pods.
VERDICT: Final = f"{GROUP}/verdict"

# Pod Security Admission, https://kubernetes.io/docs/concepts/security/pod-security-admission/
PSA_PREFIX: Final = "pod-security.kubernetes.io/"
PSA_ENFORCE: Final = f"{PSA_PREFIX}enforce"
PSA_AUDIT: Final = f"{PSA_PREFIX}audit"
PSA_WARN: Final = f"{PSA_PREFIX}warn"
PSA_VERSIONS: Final = tuple(f"{label}-version" for label in (PSA_ENFORCE, PSA_AUDIT, PSA_WARN))

# How much the API server accepts in the annotations of one object, keys and values (apimachinery,
# TotalAnnotationSizeLimitB).
ANNOTATION_BYTES: Final = 256 * 1024

# The kubelet sets this annotation on the API object of a static pod.
MIRROR: Final = "kubernetes.io/config.mirror"

# The namespaces in which the operator asks Pod Security Admission about pods that are never stored (manifests/base).
PREVIEW_NAMESPACES: Final = ("hostnetwork-preview-baseline", "hostnetwork-preview-restricted")
PREVIEW_ROLE: Final = "hostnetwork-operator-preview"  # the ClusterRole with the right to ask there (manifests/rbac)

# The admission policies of manifests/admission whose bindings deny.
POLICY_EXCEPTION_WRITERS: Final = f"exception-writers.{GROUP}"
POLICY_HOST_NAMESPACES: Final = f"host-namespaces.{GROUP}"
POLICY_NAMESPACE_LABELS: Final = f"namespace-labels.{GROUP}"
POLICY_NAMESPACE_SIZE: Final = f"namespace-size.{GROUP}"
POLICY_OPERATOR_LIMITS: Final = f"operator-limits.{GROUP}"
POLICY_OWN_NAMESPACES: Final = f"own-namespaces.{GROUP}"
POLICY_POD_SIZE: Final = f"pod-size.{GROUP}"
POLICY_PREVIEW_DRY_RUN: Final = f"preview-dry-run.{GROUP}"
POLICY_RELAXED_NAMESPACE: Final = f"relaxed-namespace.{GROUP}"
POLICY_RELAXED_NAMESPACE_RESTRICTED: Final = f"relaxed-namespace-restricted.{GROUP}"
# An admission policy that is bound to nothing. The operator asks with it whether the seal refuses changes.
SEAL_PROBE: Final = f"seal-probe.{GROUP}"
SEAL: Final = "seal.hostnetwork-operator.static.k8s.io"  # manifests/static; the API never shows this policy
POLICIES: Final = (
    POLICY_EXCEPTION_WRITERS,
    POLICY_HOST_NAMESPACES,
    POLICY_NAMESPACE_LABELS,
    POLICY_NAMESPACE_SIZE,
    POLICY_OPERATOR_LIMITS,
    POLICY_OWN_NAMESPACES,
    POLICY_POD_SIZE,
    POLICY_PREVIEW_DRY_RUN,
    POLICY_RELAXED_NAMESPACE,
    POLICY_RELAXED_NAMESPACE_RESTRICTED,
)


class Level(enum.StrEnum):
    """A Pod Security Standards level, https://kubernetes.io/docs/concepts/security/pod-security-standards/."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"

    @property
    def strictness(self) -> int:
        """0 for privileged, 2 for restricted: a level allows everything that a stricter level allows."""
        return list(Level).index(self)


class Enforcement(enum.StrEnum):
    """The values of the enforcement label of a governed namespace. An exempt namespace has no such label."""

    DENY = "Deny"
    HELD = "Held"
    AUDIT = "Audit"


class HostNamespace(enum.StrEnum):
    """A namespace of its node that a pod can share."""

    NETWORK = "Network"
    PID = "PID"
    IPC = "IPC"


class Verdict(enum.StrEnum):
    """The verdict about one host-namespace pod, in labels, metrics, reports and commands."""

    COVERED = "Covered"
    UNCOVERED = "Uncovered"
    EXPIRED = "Expired"
    STATIC = "Static"
    EXEMPT = "Exempt"
    UNKNOWN = "Unknown"
