"""Makes tests/support and this folder's helpers importable, and finds a port where nobody listens."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in (Path(__file__).parents[3], Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture
def unused_port() -> Iterator[int]:
    # Bound but not listening: connecting is refused, and nobody else can take the port meanwhile.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
