"""Certificates and keys of a test control plane: one CA, its servers and its users.

A user is a client certificate: CN is the name, O are the groups (Kubernetes' X509 client certificate rule).
"""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.controlplane import loopback

_LIFETIME = datetime.timedelta(days=30)  # longer than any test cluster exists


class Authority:
    """A CA with its files in `directory`."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate_path = directory / "ca.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-control-plane")])
        self._write_key("ca.key", self._key)
        certificate = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._write_certificate("ca.crt", certificate)

    def issue(self, file: str, common_name: str, groups: tuple[str, ...] = ()) -> tuple[pathlib.Path, pathlib.Path]:
        """Write a certificate and a key for a client, or for a server on loopback, and return the two paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        alternatives = [
            x509.DNSName("localhost"),
            x509.DNSName("kubernetes.default.svc"),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", *loopback.ADDRESSES)),
        ]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        certificate = (
            self._builder(subject, key)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        return self._write_certificate(f"{file}.crt", certificate), self._write_key(f"{file}.key", key)

    def signing_key(self, file: str) -> pathlib.Path:
        """Write a private key for service account tokens and return its path."""
        return self._write_key(file, ec.generate_private_key(ec.SECP256R1()))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - certificates are valid by the machine's clock
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=2))
            .not_valid_after(now + _LIFETIME)
        )

    def _write_certificate(self, file: str, builder: x509.CertificateBuilder) -> pathlib.Path:
        path = self.directory / file
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def _write_key(self, file: str, key: ec.EllipticCurvePrivateKey) -> pathlib.Path:
        path = self.directory / file
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,  # the API server does not read EC keys in PKCS8
                serialization.NoEncryption(),
            )
        )
        return path
