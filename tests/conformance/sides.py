"""What Pod Security Admission says of a pod and what the guard says of it, in the same words."""

import collections
import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Final

from hostnetwork_operator.api import labels
from tests.conformance import pods
from tests.controlplane import api, binary
from tests.controlplane import cluster as controlplane

# Each control, and the words with which Pod Security Admission begins its refusal at each level. Restricted judges all
# but four of Baseline's, and those in a stricter form: hostPathVolumes as one of restrictedVolumes.
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
# What decides these is never the control alone. API validation refuses an unmasked /proc outside a user namespace, and
# inside one Baseline allows it from 1.35 on (tests/admission executes that control in a copy of the policy); wants
# hostNetwork for a host process; and wants no allowPrivilegeEscalation: false beside privileged.
_RELAXED_FOR_USER_NAMESPACES: Final = binary.release().has("1.35")
NEVER_ALONE: Final = {
    "baseline": {"windowsHostProcess", *(["procMount"] if _RELAXED_FOR_USER_NAMESPACES else [])},
    "restricted": {"privileged", "windowsHostProcess", *([] if _RELAXED_FOR_USER_NAMESPACES else ["procMount"])},
}
# Controls that Pod Security Admission of the tested Kubernetes lacks. The guard does not judge them there either.
UNKNOWN_TO_PSA: Final = frozenset() if binary.release().has("1.34") else frozenset({"hostProbesAndHostLifecycle"})


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one side said: admitted, refused by these controls, or not judged.

    `all_shown`: False where the answer names host namespaces and leaves out what the pod violates besides.
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
        if answer.status == 403 and (level := re.search(r'violates PodSecurity "(\w+):', text)):
            words = CONTROLS[level[1]].items()
            found = {control for control, begin in words if re.search(rf"[:,] {begin} \(", text)}
            return cls("refused", frozenset(found), text)
        if answer.status == 403 and "ValidatingAdmissionPolicy 'relaxed-namespace" in text:
            if "denied request: host-namespaces: " in text:
                return cls("refused", frozenset({"hostNamespaces"}), text, all_shown=False)
            several = re.search(r"\(all violated controls: ([\w, ]+)\)", text)
            single = re.search(r'violates the (?:Baseline|Restricted) control "(\w+)":', text)
            assert single, text  # an expression that failed is no verdict
            return cls("refused", frozenset(several[1].split(", ") if several else [single[1]]), text)
        return cls("not judged", text=f"{answer.status} {text}")

    def agrees(self, guard: "Verdict") -> bool:
        """Whether the guard says the same as this side, as far as the guard's answer shows."""
        return self == guard if guard.all_shown else self.word == guard.word and guard.controls <= self.controls

    def without(self, spared: Iterable[str]) -> "Verdict":
        """The same, had these controls not been asked."""
        left = self.controls.difference(spared)
        return dataclasses.replace(self, controls=left) if left or not self.controls else Verdict("admitted")


@dataclasses.dataclass(frozen=True)
class Side:
    """A namespace that judges in one way, asked by server-side dry runs; the standing pods are in it."""

    cluster: controlplane.Cluster
    name: str

    @classmethod
    def set_up(cls, cluster: controlplane.Cluster, name: str, version: str = "latest", **values: str) -> "Side":
        """The namespace with these labels. What stands in it was there before them.

        `version` is what Pod Security Admission and the guard judge by: `latest` means that of the API server.
        """
        side = cls(cluster, name)
        level = {labels.PSA_ENFORCE: "privileged"}
        cluster.admin.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": level}}).expect(201)
        cluster.wait("its account", lambda: cluster.admin.get(f"{side.path}/serviceaccounts/default").status == 200)
        for body in pods.STANDING.values():
            cluster.admin.post(f"{side.path}/pods", body).expect(201)
        keys = {"guard": labels.GUARD, "level": labels.PSA_ENFORCE}
        given = {keys[key]: value for key, value in values.items()} | {
            labels.PSA_VERSIONS[0]: version,
            labels.GUARD_VERSION: f"v{binary.release().minor}" if version == "latest" else version,
        }
        cluster.admin.patch(side.path, {"metadata": {"labels": given}}).expect(200)
        if "privileged" not in values.values():
            wrong = pods.base("baseline", ["regular"])
            wrong["spec"]["hostPID"] = True
            cluster.wait("the level", lambda: side.create(wrong).word == "refused", 10)
        return side

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.name}"

    def create(self, body: dict[str, Any]) -> Verdict:
        answer = self.cluster.admin.post(f"{self.path}/pods?dryRun=All", body)
        return Verdict.of(answer)

    def debug(self, standing: str, ephemeral: dict[str, Any]) -> Verdict:
        """Of that ephemeral container in the standing pod of that name."""
        patch = {"spec": {"ephemeralContainers": [ephemeral]}}
        path = f"{self.path}/pods/{standing}/ephemeralcontainers?dryRun=All"
        answer = self.cluster.admin.patch(path, patch, api.STRATEGIC)
        return Verdict.of(answer)


@dataclasses.dataclass
class Tally:
    """What was asked and how it was decided; a pod that neither side judged is no agreement."""

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
        if never := [control for control in CONTROLS[level] if not self.alone[control]]:
            lines.append(f"  never alone: {', '.join(never)}")
        return "\n".join(lines)
