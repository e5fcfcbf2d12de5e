"""TLS contexts: the system's authorities, made once and off the event loop because loading them takes 15 ms or more."""

from __future__ import annotations

import asyncio
import importlib
import os
import ssl
import sys
from functools import partial

import httpx

from codestral_ls.api.transport.options import NetworkOptions

# Where distributions keep the bundle, for interpreters built elsewhere whose OpenSSL looks in other places
# (python-build-standalone, as installed by uv). The order is that of Go's crypto/x509 root_linux.go.
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class TlsContexts:
    """Contexts by what they offer in ALPN. `get` raises httpx.ConnectError when `ca_file` cannot be used."""

    def __init__(self, network: NetworkOptions) -> None:
        self._network = network
        self._contexts: dict[tuple[str, ...], ssl.SSLContext] = {}
        self._building = asyncio.Lock()

    async def get(self, *alpn: str) -> ssl.SSLContext:
        async with self._building:
            if alpn not in self._contexts:
                build = partial(_build, self._network, alpn)
                self._contexts[alpn] = await asyncio.get_running_loop().run_in_executor(None, build)
        return self._contexts[alpn]


def _build(network: NetworkOptions, alpn: tuple[str, ...]) -> ssl.SSLContext:
    if "h2" in alpn:
        # Imported here since this is a worker thread: the loop does not stand still for it later.
        importlib.import_module("codestral_ls.api.transport.http2")
    context = _platform_context() if network.verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(alpn))
    if not network.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif network.ca_file:
        try:
            context.load_verify_locations(cafile=os.path.expanduser(network.ca_file))
        except OSError as error:  # ssl.SSLError is one too
            reason = error.strerror or str(error)
            raise httpx.ConnectError(f"the CA file {network.ca_file} cannot be used: {reason}") from error
    return context


def _platform_context() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # truststore would load the same files as this, but again for each connection and on the event loop (15 ms with
    # Debian's bundle), which a pool that redials after every cancelled HTTP/1.1 stream must not pay.
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not os.path.isdir(ssl.get_default_verify_paths().capath or ""):
        bundle = next((path for path in _SYSTEM_BUNDLES if os.path.isfile(path)), None)
        if bundle:
            context.load_verify_locations(cafile=bundle)
    return context
