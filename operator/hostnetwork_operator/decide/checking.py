"""What enforcement would refuse of manifests that are not in a cluster yet: host namespaces without an exception."""

import datetime
from collections.abc import Collection, Sequence

from hostnetwork_operator.api import exception
from hostnetwork_operator.decide import approval, coverage, snapshot, validity


def judge(
    pod: snapshot.Pod,
    subjects: Sequence[exception.HostNetworkException],
    exempt: Collection[str],
    now: datetime.datetime,
) -> coverage.PodVerdict:
    """Return the verdict on a pod that would be created now, under these exceptions of any namespace.

    An exception from a file is not approved yet. It counts as approved, as once it is applied by an approver.
    """
    ruling = approval.Ruling(approval.ApprovalState.APPROVED)
    standings = [
        validity.stand(subject, None, ruling, now)
        for subject in subjects
        if subject.metadata.namespace == pod.namespace
    ]
    return coverage.judge(pod, standings, exempt=pod.namespace in exempt)
