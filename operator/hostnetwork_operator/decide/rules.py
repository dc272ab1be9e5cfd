"""The rules about exceptions: id, severity, who says so, and what to do. When one warns is decided in findings.

Ids are Event reasons, metric labels and file names, and never given another meaning.
"""

from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api.report import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """`source` is who says so, and whose severity it is. `remedy` has <name>, <namespace> and <version> to fill in."""

    id: str
    severity: Severity
    source: str
    remedy: str

    @property
    def page(self) -> str:
        """Its documentation, as a path in the repository."""
        return f"docs/reference/findings/{self.id}.md"


_CHANGED: Final = "kubectl patch hne <name> -n <namespace> --type=merge -p "
EXPIRING: Final = Rule(
    "Expiring",
    Severity.MEDIUM,
    "ours: at the end its pods are deleted or left without cover",
    "if it is still needed, move its expiry before it ends, or write a new exception where maxDuration is reached: "
    + _CHANGED
    + r'"{\"spec\":{\"expiry\":\"$(date -u -d +4hours +%FT%TZ)\"}}"',
)
REVIEW_DUE: Final = Rule(
    "ReviewDue",
    Severity.MEDIUM,
    "NIST SP 800-53 CM-7(1), periodic review; severity ours",
    "see whether it is still needed as it is, then say so: "
    + _CHANGED
    + r'"{\"spec\":{\"review\":{\"time\":\"$(date -u +%FT%TZ)\",\"kubernetesVersion\":\"<version>\"}}}"',
)
UNUSED: Final = Rule(
    "Unused",
    Severity.MEDIUM,
    "NIST SP 800-53 CM-7(1), periodic review; severity ours",
    "delete it if nothing needs it: kubectl delete hne <name> -n <namespace>",
)
TOO_WIDE: Final = Rule(
    "TooWide",
    Severity.MEDIUM,
    "NIST SP 800-53 AC-6, least privilege; severity ours",
    "write a new exception that names only what is used, then delete this one: kubectl get hne <name> -n <namespace>"
    " -o yaml",
)
MIXED_NAMESPACE: Final = Rule(
    "MixedNamespace",
    Severity.MEDIUM,
    "ours: image and service account are no boundary to whoever may create pods in a namespace, measured",
    "move what is excepted into a namespace of its own and write the exception anew there, or move the ordinary pods:"
    " kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,SERVICEACCOUNT:.spec.serviceAccountName"
    ",HOSTNETWORK:.spec.hostNetwork",
)
_PODS_IMAGES: Final = (
    "kubectl get pods -n <namespace> -o custom-columns=POD:.metadata.name,IMAGE:.spec.containers[*].image"
    ",ID:.status.containerStatuses[*].imageID"
)
IMAGES_UNRESTRICTED: Final = Rule(
    "ImagesUnrestricted",
    Severity.MEDIUM,
    "Kubescape C-0078, base score 5",
    f"write a new exception that lists the images, then delete this one: {_PODS_IMAGES}",
)
IMAGE_NOT_PINNED: Final = Rule(
    "ImageNotPinned",
    Severity.LOW,
    "Checkov CKV_K8S_43",
    f"run the pods from digests and write a new exception that lists them: {_PODS_IMAGES}",
)
PRIVILEGED_GRANTED: Final = Rule(
    "PrivilegedGranted",
    Severity.HIGH,
    "CIS Kubernetes Benchmark 5.2.2; Kubescape C-0057, base score 8",
    "if the pods can do with capabilities and hostPaths, write a new exception that names those instead, then delete"
    " this one: kubectl delete hne <name> -n <namespace>",
)
DEFAULT_SERVICE_ACCOUNT: Final = Rule(
    "DefaultServiceAccount",
    Severity.MEDIUM,
    "CIS Kubernetes Benchmark 5.1.5; Kubescape C-0189, base score 5",
    "run the pods with a service account of their own and write a new exception for it: kubectl create serviceaccount"
    " <name> -n <namespace>",
)
CONTACT_MISSING: Final = Rule(
    "ContactMissing",
    Severity.LOW,
    "ours: nobody can be asked when it matters",
    "say how the owner is reached: " + _CHANGED + '\'{"spec":{"contact":"team@example.com"}}\'',
)
