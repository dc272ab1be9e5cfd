"""Addresses on the loopback interface that are not in 127.0.0.0/8, which Kubernetes allows in no EndpointSlice.

No packet to these addresses leaves the machine. They are for documentation (RFC 5737), so no other machine has them.
"""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

ADDRESSES: Final = tuple(f"198.51.100.{number}" for number in range(1, 17))
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C


@contextlib.contextmanager
def two_addresses() -> Iterator[tuple[str, str]]:
    """Add two of ADDRESSES to the loopback interface, and remove them at the end. Each worker of the tests has its own.

    Raise PermissionError without the right to change the interface.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    numbers = [(2 * worker + more) % len(ADDRESSES) for more in range(2)]
    names = {f"lo:hno{number}": ADDRESSES[number] for number in numbers}
    try:
        for name, address in names.items():
            _request(_SIOCSIFADDR, name, _address(address))
            _request(_SIOCSIFNETMASK, name, _address("255.255.255.255"))
        first, second = names.values()
        yield first, second
    finally:
        for name in names:
            with contextlib.suppress(OSError):
                _request(_SIOCSIFFLAGS, name, struct.pack("H14x", 0))  # an alias that is down no longer exists


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _request(number: int, name: str, value: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, number, struct.pack("16s16s8x", name.encode(), value))
