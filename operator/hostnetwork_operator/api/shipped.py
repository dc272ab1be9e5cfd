"""The admission policies that deny, as this release ships them in manifests/admission.

Generated from there by `make generate`; do not edit. `shipped_before.py` is this file of the release before.
"""

from typing import Final

from hostnetwork_operator.api.fingerprint import Seal, Shipped

POLICIES: Final[dict[str, Shipped]] = {
    "exception-writers.hostnetwork-operator.github.io": Shipped(
        "c888478db38dc45ac4a1f588e20e0a6c1b921b19da85fa71930533806265f174",
        "114cccf0bd0712ced139535c74b3f3ab7c26ba3776918f77af6a5ea94d1b1de1",
        "d63f6e986e77c181d0e9f76410cd5138c81842643f9d38e8786c69768c1dda9d",
    ),
    "host-namespaces.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "860795f4f80cf942313a93a1f0e2c6282736dee8ceac93097dd4616832b322a9",
        "864b7f118f0f937df669b545ebab481f1ebf45375c5d9f180f88273cb39e7db6",
    ),
    "namespace-labels.hostnetwork-operator.github.io": Shipped(
        "40c40be4cf077bdef191c09edd4fec632d6249095d7f2addd0d709024610f95f",
        "cb2e3bec00b0ff0f1ca3a11e5ad951d157f249f762d274b1ca3c096ec502b2fa",
        "36545255a3378bb43db6953dac6ffe98165b33e108289d8c62cde0dc16e060bb",
    ),
    "namespace-size.hostnetwork-operator.github.io": Shipped(
        "40c40be4cf077bdef191c09edd4fec632d6249095d7f2addd0d709024610f95f",
        "86534c23ec2299df975064eb455699e2358dbb5dccf3e7176abb67e2654aa27d",
        "f1b01d50a39e7567203323ae7a7d1eb0cc5de0c0baf514295f12c489751a766c",
    ),
    "operator-limits.hostnetwork-operator.github.io": Shipped(
        "d764fd26cce2f4987a8f41ce483255480079b5a85cb22f9e6d80c92e852081c4",
        "98ef94a817400b41c68aac0433d92a7599359144d60182588c82ca9a05899757",
        "d657b6bbdfbc5d9605cb058f6d72280c318910e7f2c8116f1462b257de74d64f",
    ),
    "own-namespaces.hostnetwork-operator.github.io": Shipped(
        "7bb1b5206668de909321806344c0012ebce4f2caa84a6b729ffa72973ae041e4",
        "b7f25332ab7219555ed7008ea1f45c76475e431d594c42b25e72422876c12f26",
        "a64185340c46043550a8c45d967f5c4853400da6f3405671153c021a4f5e8391",
    ),
    "pod-size.hostnetwork-operator.github.io": Shipped(
        "2fc99fdca2f018425d2a5bebf02f1d0148df45773c25e478ebf09b36baf7f437",
        "df209b1fdadbba9c2a5985985b64acc181f4af91fba9ecc9815e6335e22df12f",
        "6334a924c9b3699d08afb215f641bfa717ad171a0d02caa187a428cbafebd5b6",
    ),
    "preview-dry-run.hostnetwork-operator.github.io": Shipped(
        "c0673ee3d4eea50355922879eb93a8202462ccf5f74f5b6326681a4c7bb6056d",
        "275da3808218d03c7e2fd3009b15f4ee8c1b85be20f064e56fe7aa918555b3ad",
        "0c48adcd55830eeebc8c0096774499963fa745b52462e0e3509fc7b04c78c1e2",
    ),
    "relaxed-namespace.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "c9241072f1cd9a09dd895e8da9e0f575781df533c1e0949bc38a51874cdb0ebf",
        "6bd2fb78b682eb467c3c8cc32c295c996f74cff92e3700ebeef5c0635ad8a1bb",
    ),
    "relaxed-namespace-restricted.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "ba2a5f0ef50b2c84e105e73dd8762acbeaf8840d10806684c562b84ef889e9ad",
        "51ea352c126ce4ca73ac3911b81e1a3c73e1172e6f0f2ef0a820bdd41cde93ff",
    ),
}
# manifests/static
SEAL: Final = Seal(
    "b78e8f4c83790e9c3acbc10383ba1f405191cd1488200367bd5f0cefb240d700",
    "5ed3a29d0027ea1ef4a5f67bf58063e601064e0eafe8a38e774a9db1a5c39094",
    "47c7fe281fb284165123c48da0b1fe39325f83b530e091b33a2604114e91a600",
)
