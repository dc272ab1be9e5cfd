"""How hard to look: the profile `default` for every run, the same samples each time so that it fails for a change only;
`thorough` (HYPOTHESIS_PROFILE=thorough), other samples each time, before a release.
"""

import os

import hypothesis

for _name, _examples in (("default", 150), ("thorough", 3000)):
    hypothesis.settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        print_blob=True,
        derandomize=_name == "default",
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
