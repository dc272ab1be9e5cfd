"""The verdicts of Pod Security Admission and of the guard on a pod, in the same words."""

import collections
import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Final

from hostnetwork_operator.api import labels
from tests.conformance import pods
from tests.controlplane import api, binary
from tests.controlplane import cluster as controlplane

# Each control, and the words with which Pod Security Admission begins its refusal at each level. Restricted has the
# controls of Baseline, four of them in a stricter form. There hostPathVolumes is a part of restrictedVolumes.
BASELINE: Final = {
    "appArmorProfile": "forbidden AppArmor profiles?",
    "capabilities": "non-default capabilities",
    "hostNamespaces": "host namespaces",
    "hostPathVolumes": "hostPath volumes",
    "hostPorts": "hostPorts?",
    "hostProbesAndHostLifecycle": "probe or lifecycle host",
    "privileged": "privileged",
    "procMount": "procMount",
    "seLinuxOptions": "seLinuxOptions",
    "seccompProfile": "seccompProfile",
    "sysctls": "forbidden sysctls",
    "windowsHostProcess": "hostProcess",
}
RESTRICTED: Final = {
    **{control: words for control, words in BASELINE.items() if control != "hostPathVolumes"},
    "allowPrivilegeEscalation": "allowPrivilegeEscalation != false",
    "capabilities": "(?:unrestricted|non-default) capabilities",  # the latter before 1.22
    "restrictedVolumes": "restricted volume types",
    "runAsNonRoot": "runAsNonRoot != true",
    "runAsUser": "runAsUser=0",
}
CONTROLS: Final = {"baseline": BASELINE, "restricted": RESTRICTED}
# Controls that never refuse a pod alone. API validation refuses an unmasked /proc outside a user namespace, a host
# process without hostNetwork, and a privileged container with allowPrivilegeEscalation: false. From 1.35 on Baseline
# allows an unmasked /proc in a user namespace, so tests/admission executes that control in a copy of the policy.
_RELAXED_FOR_USER_NAMESPACES: Final = binary.release().has("1.35")
NEVER_ALONE: Final = {
    "baseline": {"windowsHostProcess", *(["procMount"] if _RELAXED_FOR_USER_NAMESPACES else [])},
    "restricted": {"privileged", "windowsHostProcess", *([] if _RELAXED_FOR_USER_NAMESPACES else ["procMount"])},
}
# Controls that Pod Security Admission of the tested Kubernetes lacks. The guard does not judge them there either.
UNKNOWN_TO_PSA: Final = frozenset() if binary.release().has("1.34") else frozenset({"hostProbesAndHostLifecycle"})


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of one side: admitted, refused by these controls, or not judged.

    `all_shown` is False if the answer names host namespaces and omits the other controls that the pod violates.
    """

    word: str
    controls: frozenset[str] = frozenset()
    text: str = dataclasses.field(default="", compare=False)
    all_shown: bool = dataclasses.field(default=True, compare=False)

    @classmethod
    def of(cls, answer: api.Response) -> "Verdict":
        text = answer.message
        if answer.status in (200, 201):
            return cls("admitted")
        if answer.status == 403 and (level_match := re.search(r'violates PodSecurity "(\w+):', text)):
            patterns = CONTROLS[level_match[1]].items()
            violated = {control for control, pattern in patterns if re.search(rf"[:,] {pattern} \(", text)}
            return cls("refused", frozenset(violated), text)
        if answer.status == 403 and "ValidatingAdmissionPolicy 'relaxed-namespace" in text:
            if "denied request: host-namespaces: " in text:
                return cls("refused", frozenset({"hostNamespaces"}), text, all_shown=False)
            list_match = re.search(r"\(all violated controls: ([\w, ]+)\)", text)
            single_match = re.search(r'violates the (?:Baseline|Restricted) control "(\w+)":', text)
            assert single_match, text  # an expression that failed gives no verdict
            return cls("refused", frozenset(list_match[1].split(", ") if list_match else [single_match[1]]), text)
        return cls("not judged", text=f"{answer.status} {text}")

    def agrees(self, guard: "Verdict") -> bool:
        """Return whether the guard has the same verdict as this side, as far as the guard's answer shows it."""
        return self == guard if guard.all_shown else self.word == guard.word and guard.controls <= self.controls

    def without(self, ignored: Iterable[str]) -> "Verdict":
        """Return the verdict that this side would have without these controls."""
        remaining = self.controls.difference(ignored)
        return dataclasses.replace(self, controls=remaining) if remaining or not self.controls else Verdict("admitted")


@dataclasses.dataclass(frozen=True)
class Side:
    """A namespace in which Pod Security Admission or the guard judges pods, by server-side dry runs.

    The namespace has the existing pods, to which ephemeral containers are added.
    """

    cluster: controlplane.Cluster
    name: str

    @classmethod
    def set_up(cls, cluster: controlplane.Cluster, name: str, version: str = "latest", **values: str) -> "Side":
        """Create the namespace with the existing pods, and then set the labels.

        Pod Security Admission and the guard judge by `version`. `latest` is the version of the API server.
        """
        side = cls(cluster, name)
        initial_labels = {labels.PSA_ENFORCE: "privileged"}
        cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": initial_labels}}).expect(201)
        cluster.wait("its account", lambda: cluster.admin.get(f"{side.path}/serviceaccounts/default").status == 200)
        for body in pods.EXISTING_PODS.values():
            cluster.admin.post(f"{side.path}/pods", body).expect(201)
        label_keys = {"guard": labels.GUARD, "level": labels.PSA_ENFORCE}
        namespace_labels = {label_keys[key]: value for key, value in values.items()} | {
            labels.PSA_VERSIONS[0]: version,
            labels.GUARD_VERSION: f"v{binary.release().minor}" if version == "latest" else version,
        }
        cluster.admin.patch(side.path, {"metadata": {"labels": namespace_labels}}).expect(200)
        if "privileged" not in values.values():
            violating_pod = pods.base("baseline", ["regular"])
            violating_pod["spec"]["hostPID"] = True
            cluster.wait("the level", lambda: side.create(violating_pod).word == "refused", 10)
        return side

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.name}"

    def create(self, body: dict[str, Any]) -> Verdict:
        answer = self.cluster.admin.post(f"{self.path}/pods?dryRun=All", body)
        return Verdict.of(answer)

    def debug(self, pod_name: str, container: dict[str, Any]) -> Verdict:
        """Return the verdict on the ephemeral container in the existing pod of that name."""
        patch = {"spec": {"ephemeralContainers": [container]}}
        path = f"{self.path}/pods/{pod_name}/ephemeralcontainers?dryRun=All"
        answer = self.cluster.admin.patch(path, patch, api.STRATEGIC)
        return Verdict.of(answer)


@dataclasses.dataclass
class Tally:
    """The number of verdicts, in total and by control. A pod that neither side judged does not count as agreement."""

    words: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    decided: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    alone: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def add(self, verdict: Verdict, kind: str = "") -> None:
        self.words[f"{kind} {verdict.word}".strip()] += 1
        self.decided.update(verdict.controls)
        if len(verdict.controls) == 1:
            self.alone.update(verdict.controls)

    def table(self, title: str, level: str) -> str:
        lines = [f"\n{title}: " + ", ".join(f"{count:,} {word}" for word, count in sorted(self.words.items()))]
        lines += [
            f"  {control:28}decided {self.decided[control]:6,}, alone {self.alone[control]:6,}"
            for control in CONTROLS[level]
            if self.decided[control]
        ]
        if never_alone := [control for control in CONTROLS[level] if not self.alone[control]]:
            lines.append(f"  never alone: {', '.join(never_alone)}")
        return "\n".join(lines)
