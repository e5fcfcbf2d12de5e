"""A TCP socket to a host by whichever of its addresses answers first (Happy Eyeballs, RFC 8305).

asyncio has this, but before Python 3.12 it loses the socket when it is cancelled just after an address has answered,
and dials that nobody needs any more are cancelled often here.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

# RFC 8305, section 5: the recommended delay before the next address is tried as well.
ATTEMPT_DELAY = 0.25

_Info = tuple[Any, Any, int, str, Any]  # as getaddrinfo gives it


async def connect_socket(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket with TCP_NODELAY. Raises OSError, of which socket.gaierror is one."""
    loop = asyncio.get_running_loop()
    infos = interleaved(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    if not infos:
        raise OSError(f"no address is known for {host}")
    connected: list[socket.socket] = []
    errors: list[OSError] = []
    attempts: set[asyncio.Task[None]] = set()
    try:
        for info in infos:
            attempts.add(loop.create_task(_attempt(info, connected, errors)))
            # An attempt that fails makes room for the next one at once.
            await asyncio.wait(_pending(attempts), timeout=ATTEMPT_DELAY, return_when=asyncio.FIRST_COMPLETED)
            if connected:
                break
        while not connected and (pending := _pending(attempts)):
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if not connected:
            raise _summary(errors)
        return connected.pop(0)
    finally:
        # A cancelled attempt closes its socket in its next step. Not waited for: being cancelled in that wait would
        # lose the socket that is on its way to the caller.
        for attempt in _pending(attempts):
            attempt.cancel()
        for spare in connected:
            spare.close()


def interleaved(infos: list[_Info]) -> list[_Info]:
    """The same addresses, the families taking turns, beginning with that of the first (RFC 8305, section 4)."""
    families: dict[Any, list[_Info]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    rounds = itertools.zip_longest(*families.values())
    return [info for turn in rounds for info in turn if info is not None]


async def _attempt(info: _Info, connected: list[socket.socket], errors: list[OSError]) -> None:
    family, kind, protocol, _, address = info
    try:
        candidate = socket.socket(family, kind, protocol)
        try:
            candidate.setblocking(False)
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(candidate, address)
        except BaseException:
            candidate.close()
            raise
    except OSError as error:
        errors.append(error)
    else:
        connected.append(candidate)


def _pending(attempts: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    return {attempt for attempt in attempts if not attempt.done()}


def _summary(errors: list[OSError]) -> OSError:
    reasons = {error.strerror or str(error) for error in errors}
    return errors[0] if len(reasons) == 1 else OSError("; ".join(sorted(reasons)))
