"""`python -m hostnetwork_operator`: the operator process."""

import asyncio
import os
import sys

from hostnetwork_operator import config, logs
from hostnetwork_operator.control import startup


def main() -> int:
    """Exit status: 0 after SIGTERM, 1 if it cannot run here, 2 for a wrong setting."""
    try:
        settings = config.from_environment(os.environ)
    except config.ConfigError as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    try:
        asyncio.run(startup.run(settings))
    except startup.StartError as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
