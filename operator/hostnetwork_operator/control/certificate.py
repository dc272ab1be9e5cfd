"""The certificate with which /metrics is served over TLS. It is loaded again when it is renewed."""

import logging
import pathlib
import ssl

from hostnetwork_operator import logs

_log = logging.getLogger(__name__)


class Pair:
    """The certificate tls.crt and its key tls.key in a directory, as a Secret of type kubernetes.io/tls is mounted."""

    def __init__(self, directory: pathlib.Path) -> None:
        """Load both files. Raise OSError if they cannot be loaded."""
        self._files = (directory / "tls.crt", directory / "tls.key")
        self._version = self._present()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return a context with the current certificate, or with the last certificate that could be loaded. So a
        renewal needs no restart.
        """
        current_version = self._present()
        if current_version != self._version:
            self._version = current_version  # even if the files cannot be loaded, so that this is logged once
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
        context.load_cert_chain(*self._files, password="")  # without a password OpenSSL would ask on the terminal
        return context


def _version(file: pathlib.Path) -> tuple[int, ...]:
    """Return values that change when the file is written or replaced, () if there is no file. A kubelet renews a Secret
    by replacing the link to its directory.
    """
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size
