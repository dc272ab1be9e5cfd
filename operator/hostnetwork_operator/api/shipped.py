"""The admission policies that deny, as this release ships them in manifests/admission.

Generated from there by `make generate`; do not edit. `shipped_before.py` is this file of the release before.
"""

from typing import Final

from hostnetwork_operator.api.fingerprint import Shipped

POLICIES: Final[dict[str, Shipped]] = {
    "exception-writers.hostnetwork-operator.github.io": Shipped(
        "c888478db38dc45ac4a1f588e20e0a6c1b921b19da85fa71930533806265f174",
        "1ddd9d2eeda3d36ca288af537db2854627a10049e3bc0ccb4325884fe2366bed",
        "d63f6e986e77c181d0e9f76410cd5138c81842643f9d38e8786c69768c1dda9d",
    ),
    "host-namespaces.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "9260bf671507a2fe383e44bee9b0a60e7e4f1b94043948cb8b66bccc74655e62",
        "864b7f118f0f937df669b545ebab481f1ebf45375c5d9f180f88273cb39e7db6",
    ),
    "namespace-labels.hostnetwork-operator.github.io": Shipped(
        "40c40be4cf077bdef191c09edd4fec632d6249095d7f2addd0d709024610f95f",
        "d1b2a97f7e94d45b033bc8385f5641e4c70a4cafb887abf40f1287c9084c48a8",
        "36545255a3378bb43db6953dac6ffe98165b33e108289d8c62cde0dc16e060bb",
    ),
    "namespace-size.hostnetwork-operator.github.io": Shipped(
        "40c40be4cf077bdef191c09edd4fec632d6249095d7f2addd0d709024610f95f",
        "f19ff6a743322eaf4ff38c68c231ffb6e62e400cfd33b671060aca484e5c59e4",
        "f1b01d50a39e7567203323ae7a7d1eb0cc5de0c0baf514295f12c489751a766c",
    ),
    "operator-limits.hostnetwork-operator.github.io": Shipped(
        "d764fd26cce2f4987a8f41ce483255480079b5a85cb22f9e6d80c92e852081c4",
        "e658f9c1551fcbf66543b878db4cc033daf410ec2b303549fface936983d6bb9",
        "d657b6bbdfbc5d9605cb058f6d72280c318910e7f2c8116f1462b257de74d64f",
    ),
    "own-namespaces.hostnetwork-operator.github.io": Shipped(
        "7bb1b5206668de909321806344c0012ebce4f2caa84a6b729ffa72973ae041e4",
        "7a61cd898ccd55acb34e71ae973e27bbf432e378413089ead93b1b094b849569",
        "a64185340c46043550a8c45d967f5c4853400da6f3405671153c021a4f5e8391",
    ),
    "pod-size.hostnetwork-operator.github.io": Shipped(
        "2fc99fdca2f018425d2a5bebf02f1d0148df45773c25e478ebf09b36baf7f437",
        "654bac57750082a70c0686ab16225e08d9c2181dc7c1cba2cd1e10b26de8b94f",
        "6334a924c9b3699d08afb215f641bfa717ad171a0d02caa187a428cbafebd5b6",
    ),
    "preview-dry-run.hostnetwork-operator.github.io": Shipped(
        "c0673ee3d4eea50355922879eb93a8202462ccf5f74f5b6326681a4c7bb6056d",
        "f04ed3efc18206e9cb456ccb5caaf9b4d9b4af4c74213ce253a009b07d39ce80",
        "0c48adcd55830eeebc8c0096774499963fa745b52462e0e3509fc7b04c78c1e2",
    ),
    "relaxed-namespace.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "5e12253c7d3dd57973f317f8a4b88a8d93f067bbe398c82ded456c0978461c70",
        "6bd2fb78b682eb467c3c8cc32c295c996f74cff92e3700ebeef5c0635ad8a1bb",
    ),
    "relaxed-namespace-restricted.hostnetwork-operator.github.io": Shipped(
        "e4db78ae5ef797a587a18f87f6da1dda71a6f44829783f29a102313eb1e6a5cd",
        "513068cd90fd2991f9022bb502421019928e2568b3c9aaafc89a31d961c7fae2",
        "51ea352c126ce4ca73ac3911b81e1a3c73e1172e6f0f2ef0a820bdd41cde93ff",
    ),
}
