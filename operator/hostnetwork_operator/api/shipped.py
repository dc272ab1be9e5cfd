"""The admission policies that deny, as this release ships them in manifests/admission.

Generated from there by `make fingerprints`; do not edit. `shipped_before.py` is this file of the release before.
"""

from typing import Final

from hostnetwork_operator.api.fingerprint import Shipped

POLICIES: Final[dict[str, Shipped]] = {
    "exception-writers.hostnetwork-operator.github.io": Shipped(
        "c888478db38dc45ac4a1f588e20e0a6c1b921b19da85fa71930533806265f174",
        "dbd21710729348c01211ae055f06ea0628073a3b35bcfe3e89fcf1e24f14d801",
        "d63f6e986e77c181d0e9f76410cd5138c81842643f9d38e8786c69768c1dda9d",
    ),
    "host-namespaces.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "eb40fc8f98bbda8017851555f65bd9e07cbf696ff09643238607f2aa73eeb42e",
        "864b7f118f0f937df669b545ebab481f1ebf45375c5d9f180f88273cb39e7db6",
    ),
    "namespace-labels.hostnetwork-operator.github.io": Shipped(
        "40c40be4cf077bdef191c09edd4fec632d6249095d7f2addd0d709024610f95f",
        "93e30324c300f50ef00db5145fab549fc4e7d9bb2c937f8fb996078e926b2f4f",
        "36545255a3378bb43db6953dac6ffe98165b33e108289d8c62cde0dc16e060bb",
    ),
    "operator-limits.hostnetwork-operator.github.io": Shipped(
        "e8473892208ef5d17d18b14f53a099c5fac427d691a704dc2c2b3238be232b26",
        "2220534532714514e5bba6ec376b35b76400e4ddef89c5bea36e970f6f665da2",
        "d657b6bbdfbc5d9605cb058f6d72280c318910e7f2c8116f1462b257de74d64f",
    ),
    "preview-dry-run.hostnetwork-operator.github.io": Shipped(
        "c0673ee3d4eea50355922879eb93a8202462ccf5f74f5b6326681a4c7bb6056d",
        "14e287b6fa23e023f628b31718b9e0b609bb17b52f5ca6ea3e54e70b9ba40aeb",
        "0c48adcd55830eeebc8c0096774499963fa745b52462e0e3509fc7b04c78c1e2",
    ),
    "relaxed-namespace.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "6298e6682355f050f87c86f32f71491f0a8192bf6e037fc0ee185c57438a7750",
        "6bd2fb78b682eb467c3c8cc32c295c996f74cff92e3700ebeef5c0635ad8a1bb",
    ),
    "relaxed-namespace-restricted.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "209728e1f1f3eefc5607e38eedf771f3f524d46de16d703f4290c20519c46705",
        "51ea352c126ce4ca73ac3911b81e1a3c73e1172e6f0f2ef0a820bdd41cde93ff",
    ),
}
