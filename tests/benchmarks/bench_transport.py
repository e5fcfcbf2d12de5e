"""Time and CPU per request of our transport against httpx's own, on loopback; the server has a process of its own.

    python tests/benchmarks/bench_transport.py [--requests N] [--rounds N]

A request is like a completion: 8 kB up, an event stream of 20 events down, read to its end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.tls_server import Reply, Request, TlsServer

from codestral_ls.api.transport import NetworkOptions, Transport

PROMPT = b"x" * 8_000
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"token"},"finish_reason":null}]}\n\n'


def answer(request: Request) -> Reply:
    return Reply(headers=[("Content-Type", "text/event-stream")], body=[EVENT] * 20)


def serve(pipe: Connection, protocols: list[str], tls: bool) -> None:
    with TlsServer(answer, protocols=protocols, tls=tls) as server:
        pipe.send((server.url, server.ca_file))
        pipe.recv()


@dataclass(frozen=True)
class Cost:
    """Of one request, in microseconds."""

    wall: float
    cpu: float


async def measure(transport: httpx.AsyncBaseTransport, url: str, requests: int) -> Cost:
    headers = {"Authorization": "Bearer " + "k" * 32, "Content-Type": "application/json", "Accept": "text/event-stream"}
    async with httpx.AsyncClient(transport=transport, timeout=30) as client:

        async def one() -> None:
            async with client.stream("POST", f"{url}/v1/fim/completions", content=PROMPT, headers=headers) as response:
                async for _ in response.aiter_raw():
                    pass

        for _ in range(20):
            await one()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(requests):
            await one()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(wall / requests * 1e6, cpu / requests * 1e6)


def compare(title: str, protocols: list[str], *, tls: bool, requests: int, rounds: int) -> None:
    ours_end, its_end = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(its_end, protocols, tls), daemon=True)
    process.start()
    url, ca_file = ours_end.recv()
    context = ssl.create_default_context(cafile=ca_file or None)
    network = NetworkOptions(proxy="none", ca_file=ca_file or None, environment={})
    http2 = "h2" in protocols
    makers: dict[str, Callable[[], httpx.AsyncBaseTransport]] = {
        "ours": lambda: Transport(network=network),
        "httpx": lambda: httpx.AsyncHTTPTransport(verify=context, http1=not http2, http2=http2, trust_env=False),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, make in makers.items():
            costs[name].append(asyncio.run(measure(make(), url, requests)))
    with contextlib.suppress(BrokenPipeError):
        ours_end.send("stop")
    process.join(10)
    wall = {name: statistics.median(cost.wall for cost in costs[name]) for name in makers}
    cpu = {name: statistics.median(cost.cpu for cost in costs[name]) for name in makers}
    print(
        f"{title:<16} time {wall['ours']:6.0f} / {wall['httpx']:6.0f} us = {wall['ours'] / wall['httpx']:.2f}"
        f"   CPU {cpu['ours']:6.0f} / {cpu['httpx']:6.0f} us = {cpu['ours'] / cpu['httpx']:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("per request, ours / httpx")
    for title, protocols, tls in [
        ("HTTP/1.1", ["http/1.1"], False),
        ("HTTP/1.1 TLS", ["http/1.1"], True),
        ("HTTP/2 TLS", ["h2"], True),
    ]:
        compare(title, protocols, tls=tls, requests=given.requests, rounds=given.rounds)


if __name__ == "__main__":
    main()
