"""A plain JSON client of the Kubernetes API for tests, which sends bodies and returns answers uninterpreted.

The client does not use the operator's gateway: a test that watches the operator must not share the operator's code.
"""

import base64
import dataclasses
import json
import pathlib
import ssl
import tempfile
import time
from typing import Any, Self

import urllib3
import yaml

USER_AGENT = "hostnetwork-operator-tests"  # in the audit log, also where a test asks as the operator
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PROTOBUF = "application/vnd.kubernetes.protobuf"
# An object as deep as the API server stores in managedFields. json cannot decode such an object: a Response omits it.
NEST_DEPTH = 9_990
NEST = b'{"f:a":' * NEST_DEPTH + b"{}" + b"}" * NEST_DEPTH
# What the API server answers just after a CRD has changed. client-go asks again up to 10 times.
REINITIALIZING = b"storage is (re)initializing"


class ConnectionFailedError(Exception):
    """The API server did not answer: the connection was refused or reset, or the request timed out."""


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer: HTTP status, decoded body, and the texts of the Warning headers."""

    status: int
    body: Any
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """The `message` of a Status object; the body as text for any other body."""
        return self.body.get("message", "") if isinstance(self.body, dict) else str(self.body)

    def expect(self, *statuses: int) -> Self:
        """Return this answer if it has one of these statuses. Otherwise, raise AssertionError with the message."""
        assert self.status in statuses, f"expected {statuses}, got {self.status}: {self.message}"
        return self


class Api:
    def __init__(self, server: str, pool: urllib3.PoolManager, headers: dict[str, str]) -> None:
        self._server = server
        self._pool = pool
        self._headers = headers

    @classmethod
    def from_kubeconfig(cls, path: pathlib.Path) -> Self:
        config = yaml.safe_load(path.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        headers = {"User-Agent": USER_AGENT}
        if "token" in user:
            headers["Authorization"] = f"Bearer {user['token']}"
        elif "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as certificate_file:
                certificate_file.write(
                    base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
                )
                certificate_file.flush()
                context.load_cert_chain(certificate_file.name)
        else:
            context.load_cert_chain(user["client-certificate"], user["client-key"])
        return cls(cluster["server"], urllib3.PoolManager(maxsize=16, ssl_context=context), headers)

    def close(self) -> None:
        self._pool.clear()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = 30,
        accept: str = "application/json",
    ) -> Response:
        """Send a request and return the answer; `path` includes the query, and bytes are sent unchanged.

        Raise ConnectionFailedError if no answer comes.
        """
        headers = {**self._headers, "Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            for _ in range(10):
                answer = self._pool.request(
                    method, self._server + path, body=data, headers=headers, timeout=timeout, retries=False
                )
                if answer.status != 429 or REINITIALIZING not in answer.data:
                    break
                time.sleep(1)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionFailedError(f"{method} {path}: {error}") from error
        try:
            decoded = json.loads(answer.data.replace(NEST, b"{}"))
        except ValueError:
            decoded = answer.data.decode(errors="replace")
        # Warning: 299 - "text"; RFC 7234 quotes with backslashes
        texts = tuple(
            line.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"').replace("\\\\", "\\")
            for line in answer.headers.getlist("Warning")
        )
        return Response(answer.status, decoded, texts)

    def get(self, path: str) -> Response:
        return self.request("GET", path)

    def protobuf(self, path: str) -> bytes:
        """Return the object as protobuf, which can contain bytes that are not UTF-8."""
        headers = {**self._headers, "Accept": PROTOBUF}
        answer = self._pool.request("GET", self._server + path, headers=headers, timeout=30, retries=False)
        assert answer.status == 200, answer.data[:1000]
        return bytes(answer.data)

    def items(self, path: str) -> list[dict[str, Any]]:
        return list(self.get(path).expect(200).body["items"])

    def post(self, path: str, body: Any) -> Response:
        return self.request("POST", path, body)

    def put(self, path: str, body: Any) -> Response:
        return self.request("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Response:
        return self.request("PATCH", path, body, content_type)

    def apply(self, path: str, body: Any, manager: str, *, force: bool = False) -> Response:
        """Send a server-side apply."""
        query = f"?fieldManager={manager}&force={'true' if force else 'false'}"
        return self.request("PATCH", path + query, body, APPLY)

    def delete(self, path: str, body: Any = None) -> Response:
        return self.request("DELETE", path, body)

    def may(self, attributes: dict[str, str]) -> bool:
        """Return whether RBAC allows this identity a request with these attributes, such as resource and verb."""
        review = {"spec": {"resourceAttributes": attributes}}
        answer = self.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).expect(201)
        return bool(answer.body["status"]["allowed"])
