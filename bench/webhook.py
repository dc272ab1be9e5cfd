"""A validating webhook that admits everything immediately: the cost of a webhook before it evaluates anything.

`python -m bench.webhook PORT CERTIFICATE KEY` listens on loopback, in a separate process as a webhook does.
"""

import ssl
import sys

from aiohttp import web


async def _admit(request: web.Request) -> web.Response:
    review = await request.json()
    answer = {"uid": review["request"]["uid"], "allowed": True}
    return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})


def main(port: str, certificate: str, key: str) -> None:
    application = web.Application()
    application.router.add_post("/", _admit)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    web.run_app(application, host="127.0.0.1", port=int(port), ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
