"""What came of an effect, in one word."""

import enum


class Outcome(enum.StrEnum):
    """What came of an effect: the label `outcome` of the metrics, and a part of the log line of a reconcile."""

    DONE = "done"
    EXISTS = "exists"  # the Event was stored before, or its namespace is being deleted
    DELETED = "deleted"
    GONE = "gone"  # the object or its namespace no longer exists, or another object has the name
    SPARED = "spared"  # by the second check the pod must not be deleted
    UNSERVED = "unserved"  # the API server does not serve the kind of the report, or its CRD is being deleted
    SKIPPED = "skipped"  # the write of the namespace failed, or the operator is about to stop
    POSTPONED = "postponed"  # the API server refused an Event of this namespace a moment ago
    PACED = "paced"  # the object was written a moment ago
    CRASHED = "crashed"
    # The remaining words are about a request that failed.
    STALE = "stale"  # the plan was too old for the request to be sent, or the process did not hold its Lease
    UNREACHABLE = "unreachable"
    UNEXPECTED = "unexpected"  # the answer is no answer to the request
    UNDECODABLE = "undecodable"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    THROTTLED = "throttled"
    ERROR = "error"  # any other status
