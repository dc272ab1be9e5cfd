"""`python -m hostnetwork_operator`: the operator process."""

import asyncio
import gc
import os
import sys
from typing import Final

from hostnetwork_operator import config, imports, logs

_WHOLE_COLLECTION: Final = 1000  # after so many collections of the middle generation


def main() -> int:
    """Run the operator, and return the exit status of the process.

    0 after SIGTERM, 1 if the operator cannot run here or one of its parts has died, 2 for a wrong setting.
    """
    logs.unblock()
    try:
        settings = config.from_environment(os.environ)
    except config.ConfigError as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    imports.defer()
    from hostnetwork_operator.control import loops, startup

    # Modules are never garbage. While lists are read, the collector searched all of them again and again, which was a
    # tenth of the CPU time of a start. What is read from lists is garbage soon, and young collections find garbage that
    # is in cycles. A whole collection looks at all plans, and holds the event loop for a tenth of a second in a large
    # cluster. With the default of 10, one happened every six pages of a list.
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], _WHOLE_COLLECTION)
    try:
        asyncio.run(startup.run(settings))
    except (startup.StartError, loops.LoopError) as error:
        print(f"hostnetwork-operator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
