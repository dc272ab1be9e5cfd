"""The certificate with which /metrics is served over TLS: loaded, and loaded anew when it is renewed."""

import logging
import pathlib
import ssl

from hostnetwork_operator import logs

_log = logging.getLogger(__name__)


class Pair:
    """tls.crt and tls.key of a directory, as a Secret of type kubernetes.io/tls is mounted."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Raises OSError if they cannot be loaded."""
        self._files = (directory / "tls.crt", directory / "tls.key")
        self._version = self._present()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return a context with the pair as it is now, else with the last that could be loaded; a renewal needs no
        restart.
        """
        present = self._present()
        if present != self._version:
            self._version = present  # also where it cannot be loaded, which is logged once
            try:
                self._context = self._load()
                logs.log(_log, logging.INFO, "certificate-renewed", file=str(self._files[0]))
            except OSError as error:
                logs.log(_log, logging.ERROR, "certificate-unusable", file=str(self._files[0]), error=str(error))
        return self._context

    def _present(self) -> list[tuple[int, ...]]:
        return [_version(file) for file in self._files]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files, password="")  # OpenSSL would ask on the terminal for one
        return context


def _version(file: pathlib.Path) -> tuple[int, ...]:
    """What changes when the file is written or replaced, () for none. A kubelet replaces the link to its directory."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size
