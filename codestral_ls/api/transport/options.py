"""What a user or an organisation decides about the network: proxy, certificates, how long to hold connections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

IDLE_SECONDS = 300.0


@dataclass(frozen=True)
class NetworkOptions:
    """How to reach a host.

    `proxy` is `"system"` (the environment's variables, then the platform's settings on macOS and Windows; never for
    loopback), `"none"`, or a URL (`http://`, `https://`, `socks5://`, with `user:password@` if it asks for them), which
    is then used for every host. Names are resolved by a SOCKS proxy, not here, for `socks5://` as for `socks5h://`.

    `ca_file` is a PEM file of authorities trusted besides the system's. `verify=False` trusts any certificate.

    `idle_seconds` is how long an unused connection is kept. 300 s outlasts a pause for reading or thinking, after which
    a new TCP and TLS handshake (two or three round trips) would delay the first completion; it stays below the 350 to
    400 s after which common load balancers and NAT gateways forget a connection.

    `environment` is where the proxy variables are read.
    """

    # The three below may hold passwords, so they stay out of the repr and thereby out of logs.
    proxy: str = field(default="system", repr=False)
    ca_file: str | None = None
    verify: bool = True
    idle_seconds: float = IDLE_SECONDS
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
