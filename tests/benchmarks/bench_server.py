"""What the server adds to the API's time, by file size, beside a server with nothing in between (`naive_server.py`).

Each keystroke is a change and a request for text that cannot be known yet, to a scripted API that answers at once.
Figures are medians; what counts are the ratios, which hold on any machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.api_server import Answer, ScriptedApi

from codestral_ls.cli.driver import SERVER, Driver

NAIVE = (sys.executable, str(Path(__file__).with_name("naive_server.py")))
SIZES = (200, 2_000, 20_000, 200_000)
KEYS, WARM_UP, STARTS = 60, 5, 5
URI = "file:///bench/main.py"


async def start(command: tuple[str, ...], environment: dict[str, str]) -> tuple[Driver, float]:
    driver = Driver(lambda _method, _params: None)
    started = time.perf_counter()
    await driver.start(environment, command)
    capabilities = {"textDocument": {"inlineCompletion": {}}}
    await driver.request("initialize", {"processId": None, "rootUri": None, "capabilities": capabilities})
    took = time.perf_counter() - started
    driver.notify("initialized", {})
    return driver, took


async def keystrokes(driver: Driver, lines: int) -> float:
    """The median time in milliseconds from a change to the answer."""
    body = "".join(
        f"def function_{n}(argument, other):\n    return argument + other * {n}\n" for n in range(lines // 2)
    )
    document = {"uri": URI, "languageId": "python", "version": 1, "text": body}
    driver.notify("textDocument/didOpen", {"textDocument": document})
    at, times = lines // 2, []
    for key in range(KEYS + WARM_UP):
        text = f"x{key} = "
        start = {"line": at, "character": 0}
        change = {"range": {"start": start, "end": start}, "text": text + "\n"}
        began = time.perf_counter()
        driver.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": URI, "version": key + 2}, "contentChanges": [change]},
        )
        position = {"line": at, "character": len(text)}
        params = {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 2}}
        result = await driver.request("textDocument/inlineCompletion", params)
        assert result["items"], "no suggestion"
        if key >= WARM_UP:
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def memory_mb(driver: Driver) -> float | None:
    """Resident memory, where the system tells."""
    status = Path(f"/proc/{driver.pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def measure(name: str, command: tuple[str, ...], environment: dict[str, str]) -> tuple[float, dict[int, float]]:
    starts = []
    for _ in range(STARTS):
        driver, took = await start(command, environment)
        starts.append(took * 1000)
        await driver.stop()
    overheads = {}
    for lines in SIZES:
        driver, _ = await start(command, environment)
        overheads[lines] = await keystrokes(driver, lines)
        memory = memory_mb(driver)
        shown = "" if memory is None else f", {memory:.0f} MB"
        print(f"{name:>12}  {lines:>7,} lines: {overheads[lines]:7.2f} ms{shown}")
        await driver.stop()
    return statistics.median(starts), overheads


def main() -> None:
    with tempfile.TemporaryDirectory() as home, ScriptedApi(lambda request: answer(request.prompt)) as api:
        folders = {f"XDG_{kind}_HOME": home for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
        environment = {
            "CODESTRAL_LS_BASE_URL": api.url,
            "CODESTRAL_LS_DEBOUNCE_MS": "0",
            "MISTRAL_API_KEY": api.key,
            "HOME": home,
            **folders,
        }
        naive_start, naive = asyncio.run(measure("naive", NAIVE, environment))
        our_start, ours = asyncio.run(measure("codestral-ls", SERVER, environment))
    floor = naive[SIZES[0]]
    print(f"start: {our_start:.0f} ms, {our_start / naive_start:.2f} x naive")
    for lines in SIZES:
        print(f"overhead at {lines:>7,} lines: {ours[lines] / floor:.2f} x naive at {SIZES[0]} lines")


def answer(prompt: str) -> Answer:
    """A new text for each place, so that nothing can be known."""
    return Answer(f"compute({len(prompt)}, {prompt[-6:]!r})", piece=1000)


if __name__ == "__main__":
    main()
