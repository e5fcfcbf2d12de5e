"""What a keystroke and a look cost in large documents, as ratios (times are of this machine, ratios travel).

Run by `make bench`, or: python tests/benchmarks/bench_text.py
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

from lsprotocol import types
from pygls.workspace import TextDocument

from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.document import Document, Edit
from codestral_ls.text.rope import LEAF_SIZE, Rope

LINE = "    value = compute(first, second)  # 45 chars"
UTF16 = PositionEncoding.UTF16


def per_call(action: Callable[[int], object], calls: int, rounds: int = 5) -> float:
    """Microseconds for one call, in the quickest of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for number in range(calls):
            action(number)
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def keystroke(text: str, line: int, column: int, calls: int = 2000) -> float:
    document = Document("file:///a.py", "python", 0, Rope.of(text))

    def type_one(number: int) -> None:
        at = (line, column + number % 40)
        document.apply([Edit(at, at, "x")], number, UTF16)

    return per_call(type_one, calls)


def pygls_keystroke(text: str, line: int, column: int, calls: int) -> float:
    document = TextDocument("file:///a.py", text, version=0)

    def type_one(number: int) -> None:
        at = types.Position(line, column + number % 40)
        document.apply_change(types.TextDocumentContentChangePartial(range=types.Range(at, at), text="x"))

    return per_call(type_one, calls, rounds=3)


def windows(text: str, prefix: int, suffix: int) -> float:
    view = Document("file:///a.py", "python", 0, Rope.of(text)).snapshot()
    middle = len(view.text) // 2

    def look(_: int) -> None:
        view.prefix(middle, prefix)
        view.suffix(middle, suffix)

    return per_call(look, 1000)


def report(name: str, value: float, base: float, of: str) -> None:
    print(f"{name:<52}{value:>10.1f} us   {value / base:>8.2f} x {of}")


def main() -> None:
    small = f"{LINE}\n" * 200
    large = f"{LINE}\n" * 200_000
    one_line = large.replace("\n", " ")
    wide = f"{LINE} größe 😀\n" * 200_000

    print("A keystroke")
    base = keystroke(small, 100, 10)
    report("200 lines", base, base, "itself")
    report("200,000 lines", keystroke(large, 100_000, 10), base, "200 lines")
    report("200,000 lines, not ASCII", keystroke(wide, 100_000, 10), base, "200 lines")
    report("one line of 9 MB", keystroke(one_line, 0, len(one_line) // 2), base, "200 lines")
    report("pygls' TextDocument, 200 lines", pygls_keystroke(small, 100, 10, 200), base, "ours")
    ours = keystroke(large, 100_000, 10)
    report("pygls' TextDocument, 200,000 lines", pygls_keystroke(large, 100_000, 10, 3), ours, "ours")

    print("A prompt's windows (12,000 characters before, 4,000 after)")
    base = windows(f"{LINE}\n" * 800, 12_000, 4_000)
    report("800 lines", base, base, "itself")
    report("200,000 lines", windows(large, 12_000, 4_000), base, "800 lines")
    report("200,000 lines, 1,200 and 400 characters", windows(large, 1_200, 400), base, "800 lines")

    print("Opening")
    report("200,000 lines", per_call(lambda _: Rope.of(large), 1), 1e6, "a second")
    report("200,000 lines, not ASCII", per_call(lambda _: Rope.of(wide), 1), 1e6, "a second")
    tracemalloc.start()
    rope = Rope.of(large)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(rope) / 1e6:.1f} MB of text held in {held / 1e6:.1f} MB, leaves of at most {LEAF_SIZE} characters")


if __name__ == "__main__":
    main()
