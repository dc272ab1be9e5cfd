"""The Hypothesis profiles.

`default` is for every run: it uses the same samples each time, so only a change can make it fail. `thorough`
(HYPOTHESIS_PROFILE=thorough) is for a release: it uses other samples each time.
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
