"""`python -m hostnetwork_operator`: the operator process."""

import asyncio
import gc
import os
import sys

from hostnetwork_operator import config, imports, logs


def main() -> int:
    """Exit status: 0 after SIGTERM, 1 if it cannot run here or a part of it has died, 2 for a wrong setting."""
    logs.unblock()
    try:
        settings = config.from_environment(os.environ)
    except config.ConfigError as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    imports.defer()
    from hostnetwork_operator.control import loops, startup

    # Modules stay; looking through all of them for garbage, again and again while lists are read, was a tenth of the
    # CPU of a start.
    gc.freeze()
    try:
        asyncio.run(startup.run(settings))
    except (startup.StartError, loops.LoopError) as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
