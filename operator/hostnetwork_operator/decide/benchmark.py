"""What is known about the control that the evidence is for: its ids, its sources, the method, and the limits.

Every id and title was compared with the source that its entry names. Of a standard without a public text, the source is
a page about the standard. That a control of a general standard relates to host networking is our judgement.
"""

from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import policy

# Kubernetes' own namespaces. CIS 5.2.5 asks for a policy in each namespace with user workloads.
SYSTEM_NAMESPACES: Final = frozenset(policy.EXEMPT_BY_DEFAULT)
BENCHMARK: Final = "CIS Kubernetes Benchmark"
BENCHMARK_VERSION: Final = "1.12"
CONTROL: Final = "5.2.5"
CONTROL_TITLE: Final = "Minimize the admission of containers wishing to share the host network namespace"
ASSESSMENT: Final = "Manual"
STATEMENT: Final = (
    "CIS 5.2.5 is a manual control. This report is evidence for it, and decides nothing: the auditor decides."
)
_SAME: Final = "the same control"
_OURS: Final = "related, by our judgement"
# kube-bench a73ce378 (2026-06-09), cfg/<benchmark>/policies.yaml
_KUBE_BENCH: Final = "aquasecurity/kube-bench a73ce378"
_REGOLIBRARY: Final = "kubescape/regolibrary ce7ef32a"  # 2026-08-21, controls/ and frameworks/
_ATTACK: Final = "mitre/cti 421deacb (2025-11-13), enterprise-attack"
_OSCAL: Final = "usnistgov/oscal-content 88bb8de, SP 800-53 rev5 MODERATE 5.1.1"


@dataclass(frozen=True, slots=True)
class RelatedControl:
    """A control of a framework, its relation to CIS 5.2.5, and where its id and title were looked up."""

    framework: str
    id: str
    title: str
    relation: str
    source: str


MAPPING: Final = (
    RelatedControl("CIS Kubernetes Benchmark 1.9 to 1.12 (Manual)", "5.2.5", CONTROL_TITLE, _SAME, _KUBE_BENCH),
    RelatedControl("CIS Kubernetes Benchmark 1.23, 1.24, 1.7, 1.8", "5.2.5", CONTROL_TITLE, _SAME, _KUBE_BENCH),
    RelatedControl("CIS Kubernetes Benchmark 1.5, 1.6, 1.20", "5.2.4", CONTROL_TITLE, _SAME, _KUBE_BENCH),
    RelatedControl("CIS EKS Benchmark 1.8", "4.2.4", CONTROL_TITLE, _SAME, _KUBE_BENCH),
    RelatedControl("CIS AKS Benchmark 1.8", "4.2.4", CONTROL_TITLE, _SAME, _KUBE_BENCH),
    RelatedControl(
        "CIS Kubernetes Benchmark 1.10 to 1.12",
        "5.2.3",
        "Minimize the admission of containers wishing to share the host process ID namespace",
        "for hostPID",
        _KUBE_BENCH,
    ),
    RelatedControl(
        "CIS Kubernetes Benchmark 1.10 to 1.12",
        "5.2.4",
        "Minimize the admission of containers wishing to share the host IPC namespace",
        "for hostIPC",
        _KUBE_BENCH,
    ),
    RelatedControl(
        "Kubescape (CIS 1.10 and 1.12, NSA)", "C-0041", "HostNetwork access", "counts the pods", _REGOLIBRARY
    ),
    RelatedControl("Kubescape (CIS EKS 1.8)", "C-0196", CONTROL_TITLE, "asks for the policies", _REGOLIBRARY),
    RelatedControl("Kubescape", "C-0038", "Host PID/IPC privileges", "for hostPID and hostIPC", _REGOLIBRARY),
    RelatedControl("MITRE ATT&CK Enterprise", "T1611", "Escape to Host", _OURS, _ATTACK),
    RelatedControl("MITRE ATT&CK Enterprise", "T1040", "Network Sniffing", _OURS, _ATTACK),
    RelatedControl("NIST SP 800-53 Rev. 5", "AC-5", "Separation of Duties", _OURS, _OSCAL),
    RelatedControl("NIST SP 800-53 Rev. 5", "AC-6", "Least Privilege", _OURS, _OSCAL),
    RelatedControl("NIST SP 800-53 Rev. 5", "CM-6", "Configuration Settings", _OURS, _OSCAL),
    RelatedControl("NIST SP 800-53 Rev. 5", "CM-7", "Least Functionality", _OURS, _OSCAL),
    RelatedControl("NIST SP 800-53 Rev. 5", "SC-7", "Boundary Protection", _OURS, _OSCAL),
    RelatedControl(
        "PCI DSS 4.0.1",
        "2.2.4",
        "Only necessary services, protocols, daemons, and functions are enabled",
        _OURS,
        "a public page about the standard (withpci)",
    ),
    RelatedControl(
        "ISO/IEC 27001:2022 Annex A",
        "8.20",
        "Networks security",
        _OURS,
        "public pages about the standard (iso27001.com)",
    ),
    RelatedControl(
        "ISO/IEC 27001:2022 Annex A",
        "8.22",
        "Segregation of networks",
        _OURS,
        "public pages about the standard (isms.online, iso27001.com)",
    ),
)

# By which a reader can count again. The first is what kube-bench counts, the second reads the policies.
QUERIES: Final = (
    "kubectl get pods --all-namespaces --field-selector spec.hostNetwork=true",
    "kubectl get namespaces -L pod-security.kubernetes.io/enforce,hostnetwork-operator.github.io/enforcement",
    "kubectl get hostnetworkexceptions --all-namespaces -o wide",
    "kubectl get validatingadmissionpolicies,validatingadmissionpolicybindings",
)


def _paragraphs(text: str) -> tuple[str, ...]:
    """Return the paragraphs of a text, each as one line."""
    return tuple(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


LIMITS: Final = _paragraphs("""
The report shows one moment. The report says nothing about the time before and after.

The API server can have defaults and exemptions of Pod Security Admission, and can have that plug-in switched off. The
API does not show these settings: attach the AdmissionConfiguration of each API server.

The id 5.2.5 is that of the benchmark since 1.23. kube-bench uses version 1.12 for Kubernetes 1.32 to 1.34, and no later
version was found. Use the version that your auditor names.

Other policy engines (Kyverno, Gatekeeper, other ValidatingAdmissionPolicies) were not read. A namespace that only such
an engine restricts is shown as a namespace without a policy.

A static pod comes from a file on its node. The API server shows the pod and cannot refuse it.

An exception delegates host networking to every user who can create pods with its service account in its namespace, or
exec into such pods.

A class says what a workload looks like by a catalogue of published agents. Images, names and accounts can be forged, so
no verdict depends on a class.

The owner that a pod names is a claim of the user who created the pod. The report groups pods by that owner.

A NetworkPolicy does not restrict a pod on the host network, and an ephemeral container shares the namespaces of its
pod.

The SHA-256 in a report detects an accident. Against a person who can change the file, keep the number in another place.
""")
# What an auditor may ask for, and the API server does not keep.
NOT_CONTAINED: Final = _paragraphs("""
Who created, approved or changed an exception, and who set a Pod Security level. The field managers of an object can be
forged, so the report does not show them. The audit log of the API server has the users.

The history of an exception: earlier expiries, extensions and former owners. The audit log of the API server has each
change.

Changes of levels and policies during a period, and gaps in the operation of the operator. The metrics of the operator
have these numbers, as long as a monitoring system keeps them. The trend of workloads and exceptions needs an archive of
reports.

When an owner was notified, and which pods were deleted at an expiry. The Events have both for about an hour, and the
log of the operator has the deletions as long as it is kept.

Workloads without pods, such as those whose pods were refused.
""")
