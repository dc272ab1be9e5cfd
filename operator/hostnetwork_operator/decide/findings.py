"""What is worth a person's look about an exception: one rule, one result, a sentence, a remedy.

Nothing is granted, refused or deleted by a finding. It needs nothing but the exception, the pods that it covers,
whether ordinary ones live beside them, the policy's settings, the cluster's version and the time. Each rule has a page
in docs/reference/findings.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api import exception, fields, grant, image, labels, policy
from hostnetwork_operator.api.report import Result
from hostnetwork_operator.decide import coverage, rules, snapshot, validity

# How long a pod has been covered before what it does not use counts: a rollout brings the others in meanwhile.
_SETTLED: Final = datetime.timedelta(minutes=10)
_NAMED: Final = 3  # things named in a sentence
ALONE: Final = "no ordinary pod was in its namespace when all pods were last listed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of an exception. `moments` are when time alone could make it say something else."""

    rule: rules.Rule
    result: Result
    subject: snapshot.Reference
    sentence: str
    remedy: str
    moments: tuple[datetime.datetime, ...] = ()

    @property
    def noted(self) -> bool:
        """Whether it is shown beside whatever else, although it does not warn: ordinary pods of the same release."""
        return self.rule is rules.MIXED_NAMESPACE and self.result is Result.PASS and self.sentence != ALONE

    @property
    def warns(self) -> bool:
        return self.result in {Result.WARN, Result.FAIL}


@dataclass(frozen=True, slots=True)
class _Case:
    """`settings` is None where the policy is not known: what needs it could not be judged. `ordinary`: whether ordinary
    pods live there, None where nobody has looked yet. `releases`: what these were installed with.
    """

    subject: exception.HostNetworkException
    pods: Sequence[snapshot.Pod]
    settings: policy.Exceptions | None
    kubernetes: snapshot.MinorVersion | None
    ordinary: bool | None
    releases: frozenset[frozenset[str]]
    exempt: bool
    now: datetime.datetime

    @property
    def spec(self) -> exception.ExceptionSpec:
        return self.subject.spec

    @property
    def created(self) -> datetime.datetime:
        return self.subject.metadata.creation_timestamp


_Said = tuple[Result, str, tuple[datetime.datetime, ...]]


def settings_of(state: snapshot.PolicyState) -> policy.Exceptions | None:
    """What the policy says of exceptions: the defaults where there is none, None where it is not known."""
    if state.spec is not None:
        return state.spec.exceptions
    return policy.Exceptions() if state.known is snapshot.Known.ABSENT else None


def find(
    standing: validity.Standing,
    verdicts: Sequence[coverage.PodVerdict],
    seen: snapshot.NamespaceSnapshot,
    now: datetime.datetime,
    *,
    exempt: bool,
) -> tuple[Finding, ...]:
    """One finding for each rule that applies, in the order of RULES; none about an exception that has ended."""
    subject = standing.exception
    meta = subject.metadata
    if standing.expired or meta.deletion_timestamp is not None:
        return ()
    pods = [v.pod for v in verdicts if v.verdict is labels.Verdict.COVERED and meta.uid in _uids(v.exceptions)]
    case = _Case(
        subject,
        pods,
        settings_of(seen.policy),
        seen.kubernetes,
        seen.ordinary_pods,
        seen.ordinary_releases,
        exempt,
        now,
    )
    about = snapshot.Reference(exception.KIND, meta.namespace, meta.name, meta.uid, labels.API_VERSION)
    version = str(seen.kubernetes) if seen.kubernetes else "1.36"
    made = []
    for rule, judge in _JUDGES.items():
        said = judge(case)
        if said is None:
            continue
        remedy = rule.remedy
        for word, value in (("<name>", meta.name), ("<namespace>", meta.namespace), ("<version>", version)):
            remedy = remedy.replace(word, value)
        made.append(Finding(rule, said[0], about, said[1], remedy, said[2]))
    return tuple(made)


def _uids(subjects: Sequence[exception.HostNetworkException]) -> set[str]:
    return {subject.metadata.uid for subject in subjects}


def _expiring(case: _Case) -> _Said:
    if case.spec.expiry is None:
        return Result.PASS, "it has no expiry", ()
    if case.settings is None:
        return _unknown()
    before = case.settings.warn_before
    # An agent with an end is as seldom looked at as an application, and the policy has no setting of its own for it.
    diagnostic = case.spec.type is exception.ExceptionType.DIAGNOSTIC
    moment = case.spec.until - (before.diagnostic if diagnostic else before.application)
    near = case.now >= moment
    return (Result.WARN if near else Result.PASS), f"it ends {grant.format_time(case.spec.until)}", (moment,)


def _review_due(case: _Case) -> _Said | None:
    if case.spec.type is not exception.ExceptionType.INFRASTRUCTURE:
        return None
    if case.settings is None:
        return _unknown()
    every = case.settings.review_every
    review = case.spec.review or exception.Review()
    # A review that is yet to come is none: it would silence this for as long as one likes.
    reviewed = review.time if review.time is not None and review.time <= case.now else None
    since = max(case.created, reviewed or case.created)
    due = since + every
    moments = (due, *([review.time] if review.time else []))
    text = f"it was {'made' if since == case.created else 'last reviewed'} {grant.format_time(since)}"
    if case.now >= due:
        return Result.WARN, f"{text}; every {fields.format_duration(every)} a review is due", moments
    if not case.settings.review_on_upgrade or case.kubernetes is None:
        return Result.PASS, text, moments
    if review.kubernetes_version is None:
        text = "it does not say for which version of Kubernetes it was reviewed, so whether an upgrade came since is"
        return Result.SKIP, f"{text} not known; {_version_said(case.kubernetes)}", moments
    if case.kubernetes > snapshot.MinorVersion.parse(review.kubernetes_version):
        text = f"it was reviewed for Kubernetes {review.kubernetes_version}, the cluster is at {case.kubernetes}"
        return Result.WARN, text, moments
    return Result.PASS, text, moments


def _version_said(kubernetes: snapshot.MinorVersion) -> str:
    return f'set spec.review.kubernetesVersion, to "{kubernetes}" if it was reviewed for this one'


def _unused(case: _Case) -> _Said:
    if case.pods:
        return Result.PASS, "pods are covered by it", ()
    if case.settings is None:
        return _unknown()
    since = _last_used(case)
    moment = since + case.settings.unused_after
    text = f"no pod is covered by it since {grant.format_time(since)}"
    return (Result.WARN if case.now >= moment else Result.PASS), text, (moment,)


def _last_used(case: _Case) -> datetime.datetime:
    """Return since when no pod is covered, of an exception that covers none."""
    status = case.subject.status
    # Its last pod has just gone, and the status does not say so yet.
    last = case.now.replace(microsecond=0) if status.covered_pods else status.last_used_time
    return max(case.created, last or case.created)


def _too_wide(case: _Case) -> _Said:
    if not case.pods:
        return Result.SKIP, "no pod is covered by it", ()
    settled = min(pod.created for pod in case.pods) + _SETTLED
    if case.now < settled:
        return Result.SKIP, "its pods are younger than ten minutes", (settled,)
    excess = _excess(case.spec, case.pods)
    if not excess:
        return Result.PASS, "its pods use all that it names", ()
    more = f" and {len(excess) - _NAMED} more" if len(excess) > _NAMED else ""
    return Result.WARN, f"it names what no pod of it uses: {', '.join(excess[:_NAMED])}{more}", ()


def _excess(spec: exception.ExceptionSpec, pods: Sequence[snapshot.Pod]) -> list[str]:
    """What of the exception no pod makes use of. A path counts as used by whatever is mounted at or below it."""
    made = []
    if spec.privileged and not any(pod.privileged for pod in pods):
        made.append("privileged")
    unused = set(spec.host_namespaces).difference(*(pod.host_namespaces for pod in pods))
    made += [f"host namespace {name}" for name in sorted(unused)]
    made += [
        f"capability {name}" for name in sorted(set(spec.capabilities).difference(*(p.capabilities for p in pods)))
    ]
    mounts = {mount for pod in pods for mount in pod.host_paths}
    for path in sorted(spec.host_paths, key=lambda path: path.path):
        below = [mount for mount in mounts if coverage.within(mount.path, path.path)]
        if not below:
            made.append(f"host path {path.path}")
        elif not path.read_only and all(mount.read_only for mount in below):
            made.append(f"writing to {path.path}")
    made += [f"image {name}" for name in image.unused(spec.images or (), (i for pod in pods for i in pod.images))]
    return made


def _mixed_namespace(case: _Case) -> _Said | None:
    if case.exempt:
        return None  # mixed on purpose, such as kube-system
    # No name, no number, no time: pods come and go, and what is said of them stays.
    if case.ordinary is None:
        return Result.SKIP, "its namespace has not been looked through for ordinary pods since it was made", ()
    if not case.ordinary:
        return Result.PASS, ALONE, ()
    if not case.pods and case.now < (settled := _last_used(case) + _SETTLED):
        text = "ordinary pods run in its namespace; whether they are of its release is known once it covers pods"
        return Result.SKIP, text, (settled,)
    # A claim: a tenant who forges the labels turns a warning into this note, and opens nothing.
    shared = _shared_release(case)
    if shared:
        text = f"the ordinary pods in its namespace are of the same release by their labels ({', '.join(shared)})"
        return Result.PASS, f"{text}: whoever may create pods there can use {_account(case)} too", ()
    text = "ordinary pods run in its namespace: whoever may create pods there can use"
    return Result.WARN, f"{text} {_account(case)} and with it what is excepted", ()


def _shared_release(case: _Case) -> list[str]:
    """The labels by which every ordinary pod is of a release of the covered ones; none if one is not, or may not be."""
    covered = {text for pod in case.pods for text in pod.release}
    if not case.releases or not all(release & covered for release in case.releases):
        return []
    return sorted({text for release in case.releases for text in release & covered})[:_NAMED]


def _images_unrestricted(case: _Case) -> _Said:
    if case.spec.images is None:
        return Result.WARN, f"it names no images: any image run as {_account(case)} is covered", ()
    return Result.PASS, "it lists its images", ()


def _image_not_pinned(case: _Case) -> _Said | None:
    if case.spec.images is None:
        return None  # nothing that could be pinned
    if wide := sorted(entry for entry in case.spec.images if image.any_of_a_repository(entry)):
        return Result.WARN, f"any image of a repository is covered, whoever pushes the image: {wide[0]}", ()
    loose = image.unpinned(case.spec.images)
    if loose:
        return Result.WARN, f"an image that is not pinned by digest can become another: {loose[0]}", ()
    return Result.PASS, "its images are pinned by digest", ()


def _privileged_granted(case: _Case) -> _Said:
    if case.spec.privileged:
        return Result.WARN, "it lets containers be privileged, which is root on the node", ()
    return Result.PASS, "it lets no container be privileged", ()


def _default_service_account(case: _Case) -> _Said:
    if case.spec.service_account == "default":
        text = "it is for service account 'default', which every pod has that names none"
        return Result.WARN, text, ()
    return Result.PASS, f"it is for {_account(case)}", ()


def _contact_missing(case: _Case) -> _Said:
    if case.spec.contact is None:
        return Result.WARN, f"it does not say how its owner {case.spec.owner!r} is reached", ()
    return Result.PASS, "it says how its owner is reached", ()


def _account(case: _Case) -> str:
    return f"service account {case.spec.service_account!r}"


def _unknown() -> _Said:
    return Result.ERROR, "the policy cannot be read, so its settings are not known", ()


_JUDGES: Final[dict[rules.Rule, Callable[[_Case], _Said | None]]] = {
    rules.EXPIRING: _expiring,
    rules.REVIEW_DUE: _review_due,
    rules.UNUSED: _unused,
    rules.TOO_WIDE: _too_wide,
    rules.MIXED_NAMESPACE: _mixed_namespace,
    rules.IMAGES_UNRESTRICTED: _images_unrestricted,
    rules.IMAGE_NOT_PINNED: _image_not_pinned,
    rules.PRIVILEGED_GRANTED: _privileged_granted,
    rules.DEFAULT_SERVICE_ACCOUNT: _default_service_account,
    rules.CONTACT_MISSING: _contact_missing,
}
RULES: Final = tuple(_JUDGES)
