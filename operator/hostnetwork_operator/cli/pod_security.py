"""Asks the API server about the pods of manifests: how their namespaces are governed, and what Pod Security says.

Every question is a dry run in a preview namespace of the operator, as the gate asks it: the namespace of the manifest
may not exist yet, and its level may be lifted. Something that cannot be asked is named with its reason.
"""

import asyncio
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hostnetwork_operator.act import gateway
from hostnetwork_operator.api import labels, meta, policy
from hostnetwork_operator.cli import checked, connect, flags, progress, tables
from hostnetwork_operator.decide import checking, gate, snapshot, spared
from hostnetwork_operator.observe import live, living, manifests, parse, preview, store

_VIEWER = "hostnetwork-exception-viewer"  # manifests/rbac
_NOT_INSTALLED = (
    f"the namespaces {' and '.join(labels.PREVIEW_NAMESPACES)} of the operator do not exist, and the dry runs need"
    " them; install the operator, or its base alone: kubectl apply -k manifests/base"
)


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Something that could not be read, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class _AskedPod:
    """A pod with its verdict. `asked` is the question about it, why there can be none, or the answer without asking."""

    pod: checked.Checked
    asked: gate.Question | checked.PodSecurityAnswer | _Unknown


async def look(
    target: flags.Target,
    read: Callable[[str, datetime.datetime], manifests.Manifests],
    exempt: Sequence[str],
) -> checked.CheckResult:
    """Return the result for the manifests that `read` returns for the namespace of the context and the time."""
    async with connect.connect(target) as connection:
        rules = await _policy(connection)
        now = connection.clock.now()
        found = read(connection.namespace, now)
        with progress.shown(f"asking about {tables.count(len(found.templates), 'pod')}"):
            written = {each.name: each.labels for each in found.namespaces}
            names = sorted({template.pod.namespace for template in found.templates})
            read_each = (_namespace(connection, name, written.get(name, {}), now) for name in names)
            namespaces = dict(zip(names, await asyncio.gather(*read_each), strict=True))
            cluster = _AskedCluster(rules, namespaces, written, tuple(exempt), found, now)
            pods = [cluster.pod(template) for template in found.templates]
            questions = [pod.asked for pod in pods if isinstance(pod.asked, gate.Question)]
            answers = await _answers(connection, questions, cluster.version)
    return _result(found, pods, answers, cluster)


async def _policy(connection: connect.Connection) -> snapshot.PolicyState | _Unknown:
    """Return the policy of the cluster, without a spec if there is none."""
    try:
        body = (await connection.gateway.get(f"{live.PATHS[store.Kind.POLICY]}/{policy.NAME}")).body
    except gateway.ApiError as error:
        if error.status == 404:
            return snapshot.PolicyState(snapshot.Existence.ABSENT)
        return _Unknown(f"{_sentence(error)}; bind the ClusterRole {_VIEWER}, to read the HostNetworkExceptionPolicy")
    read_policy = parse.host_network_policy(body)
    if read_policy.spec is None:
        return _Unknown(f"the HostNetworkExceptionPolicy is not valid: {read_policy.mistake}; correct the policy")
    return snapshot.PolicyState(snapshot.Existence.PRESENT, read_policy.spec, read_policy.created)


async def _namespace(
    connection: connect.Connection, name: str, written: Mapping[str, str], now: datetime.datetime
) -> snapshot.Namespace | _Unknown:
    """Return a namespace as it exists, or as it will be with the labels from the files."""
    if not meta.is_name(name):  # the name is a part of the path
        return _Unknown(f"{name!r} is not the name of a namespace; correct metadata.namespace")
    try:
        return parse.namespace((await connection.gateway.get(f"/api/v1/namespaces/{name}")).body)
    except gateway.ApiError as error:
        if error.status == 404:
            return snapshot.Namespace(name, "", now, labels=written)
        return _Unknown(
            f"{_sentence(error)}; you need the right to get the namespace, and until then only exceptions from the"
            " files count there"
        )


def _sentence(error: gateway.ApiError) -> str:
    """Return the error as kubectl writes it, or raise it if it says that nothing can be read."""
    if error.status in {0, 401}:
        raise error
    return f"Error from server ({error.reason or error.status}): {error.message}"


@dataclass(frozen=True, slots=True)
class _AskedCluster:
    """What was read of the cluster, and the manifests."""

    rules: snapshot.PolicyState | _Unknown
    namespaces: Mapping[str, snapshot.Namespace | _Unknown]
    written: Mapping[str, Mapping[str, str]]  # the labels that the files have for each namespace
    exempt: tuple[str, ...]
    found: manifests.Manifests
    now: datetime.datetime

    @property
    def spec(self) -> policy.PolicySpec | None:
        return self.rules.spec if isinstance(self.rules, snapshot.PolicyState) else None

    @property
    def version(self) -> str:
        """The version of the Pod Security Standards."""
        return (self.spec.pod_security if self.spec is not None else policy.PodSecurity()).version

    def pod(self, template: manifests.Template) -> _AskedPod:
        """Return a pod with its verdict, and with the question about it."""
        name, rules = template.pod.namespace, self.rules
        namespace = self.namespaces[name]
        known = namespace if isinstance(namespace, snapshot.Namespace) else snapshot.Namespace(name, "", self.now)
        limits = self.spec.exceptions if self.spec is not None else None
        exceptions = [each.exception for each in self.found.exceptions]
        standings = checking.standings(known, exceptions, limits, self.now)
        state = rules if isinstance(rules, snapshot.PolicyState) else snapshot.PolicyState(snapshot.Existence.UNKNOWN)
        settings = checking.governed(known, state, self.exempt or None, self.written.get(name))
        result = checked.Checked(template, checking.judge(template.pod, standings, exempt=settings.exempt))
        for read in (rules, namespace):
            if isinstance(read, _Unknown):
                return _AskedPod(result, read)
        asked = self._living(template)
        if isinstance(asked, _Unknown):
            return _AskedPod(result, asked)
        question = checking.question(asked, standings, settings)
        return _AskedPod(result, question or checked.PodSecurityAnswer(settings.level.value, settings.version, ""))

    @property
    def changes(self) -> list[checked.RefusedChange]:
        """The exceptions that the API server would refuse, because they change what is granted in the namespace of
        a pod.
        """
        changes = []
        for each in self.found.exceptions:
            namespace = self.namespaces.get(each.exception.metadata.namespace)
            if isinstance(namespace, snapshot.Namespace):
                changed = checking.changed(each.exception, namespace, self.now)
                changes += [checked.RefusedChange(each, changed)] if changed else []
        return changes

    def _living(self, template: manifests.Template) -> snapshot.Living | _Unknown:
        """Return the template as the gate asks about it. What a file has may have any shape."""
        try:
            body = living.asked(template.body.get("metadata") or {}, template.body["spec"])
        except Exception as error:  # whatever is wrong with one template, the others are asked about
            return _Unknown(f"the pod template cannot be interpreted: {type(error).__name__}: {error}")
        return snapshot.Living(template.kind, template.name, template.pod.uid, self.now, template.pod, body)


async def _answers(
    connection: connect.Connection, questions: Sequence[gate.Question], version: str
) -> Mapping[str, str | _Unknown]:
    """Return the answers by the key of the question."""
    different = {question.key: question for question in questions}
    if different and not await connect.preview_is_there(connection):
        return dict.fromkeys(different, _Unknown(_NOT_INSTALLED))
    answers: dict[str, str | _Unknown] = {}
    for level in sorted({question.level for question in different.values()}):
        asked = [question for question in different.values() if question.level is level]
        try:
            answered = await preview.ask(connection.gateway, asked, version)
        except gateway.ApiError as error:
            answered = preview.Answered({}, {}, _sentence(error))
        if answered.failed:
            answers |= {question.key: _Unknown(answered.failed) for question in asked}
        answers |= answered.answers
        answers |= {key: _Unknown(why) for key, why in answered.unanswered.items()}
    return answers


def _result(
    found: manifests.Manifests, pods: Sequence[_AskedPod], answers: Mapping[str, str | _Unknown], cluster: _AskedCluster
) -> checked.CheckResult:
    done: list[checked.Checked] = []
    missed: dict[str, list[checked.Checked]] = {}
    for each in pods:
        answer = each.asked
        if isinstance(answer, gate.Question):
            answer = _answer(answer, answers[answer.key], each.pod, cluster.version)
        if isinstance(answer, _Unknown):
            missed.setdefault(answer.why, []).append(each.pod)
            done.append(each.pod)
        else:
            done.append(checked.Checked(each.pod.template, each.pod.verdict, answer))
    not_asked = [checked.NotAsked(same[0], len(same), why) for why, same in missed.items()]
    return checked.result(found, done, not_asked, cluster.changes, server=True)


def _answer(
    question: gate.Question, reason: str | _Unknown, pod: checked.Checked, version: str
) -> checked.PodSecurityAnswer | _Unknown:
    """Return the answer to a question, with what the nearest exception lacks unless the verdict says that already."""
    if isinstance(reason, _Unknown):
        return reason
    refusal = spared.answer(reason) if question.covered else reason
    if refusal and question.lacks and not pod.uncovered:
        refusal = f"{refusal}, and {question.lacks}"
    return checked.PodSecurityAnswer(question.level.value, version, refusal)
