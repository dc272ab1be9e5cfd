"""The time that an API server's admission plug-ins took, by the API server's own metrics.

What a policy adds to a create is smaller than the noise of a create on a machine with other work. These metrics leave
the rest of the create out.
"""

import re

from tests.controlplane import api

_SUM = re.compile(
    r"^apiserver_admission_controller_admission_duration_seconds_sum\{"
    r'name="(?:MutatingAdmissionPolicy|PodSecurity|ValidatingAdmissionPolicy|ValidatingAdmissionWebhook)"'
    r',operation="CREATE",rejected="false",type="(?:admit|validate)"\} (\S+)$',
    re.MULTILINE,
)


def seconds(client: api.Api) -> float:
    """Return the seconds that admission policies, webhooks and Pod Security Admission took for admitted creates so far.

    Webhooks that mutate are left out, because the benchmark has none. Source: the reference of Kubernetes metrics.
    """
    durations = _SUM.findall(client.get("/metrics").expect(200).body)
    assert durations, "the API server counts no admission of a create"
    return sum(float(duration) for duration in durations)
