"""The rules about exceptions, one module for each rule: id, severity, source, remedy, and when the rule warns."""

from typing import Final

from hostnetwork_operator.decide.rules import (
    contact_missing,
    default_service_account,
    expiring,
    image_not_pinned,
    images_unrestricted,
    mixed_namespace,
    privileged_granted,
    review_due,
    rule,
    too_wide,
    unused,
)

Rule = rule.Rule

EXPIRING: Final = expiring.RULE
REVIEW_DUE: Final = review_due.RULE
UNUSED: Final = unused.RULE
TOO_WIDE: Final = too_wide.RULE
MIXED_NAMESPACE: Final = mixed_namespace.RULE
IMAGES_UNRESTRICTED: Final = images_unrestricted.RULE
IMAGE_NOT_PINNED: Final = image_not_pinned.RULE
PRIVILEGED_GRANTED: Final = privileged_granted.RULE
DEFAULT_SERVICE_ACCOUNT: Final = default_service_account.RULE
CONTACT_MISSING: Final = contact_missing.RULE
# The rules, in the order in which findings are listed.
RULES: Final = (
    EXPIRING,
    REVIEW_DUE,
    UNUSED,
    TOO_WIDE,
    MIXED_NAMESPACE,
    IMAGES_UNRESTRICTED,
    IMAGE_NOT_PINNED,
    PRIVILEGED_GRANTED,
    DEFAULT_SERVICE_ACCOUNT,
    CONTACT_MISSING,
)
