"""What the property tests compare with: a document as one string, and the rules that a rope's tree must keep."""

from __future__ import annotations

import random
import re
from itertools import pairwise

from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.document import Edit
from codestral_ls.text.rope import Rope
from codestral_ls.text.tree import Branch, Leaf, Node

ENCODINGS = list(PositionEncoding)

CODECS = {
    PositionEncoding.UTF8: ("utf-8", 1),
    PositionEncoding.UTF16: ("utf-16-le", 2),
    PositionEncoding.UTF32: ("utf-32-le", 4),
}

LINE_ENDS = ["\n", "\r", "\r\n"]

NOT_LINE_ENDS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]

LONE_SURROGATES = ["\ud83d", "\ude00"]

ALPHABET = [
    *("a", "b", " ", "\t", "é", "e\u0301", "€", "😀", "𝒳", "👩\u200d👧"),
    *NOT_LINE_ENDS,
    *LONE_SURROGATES,
    *LONE_SURROGATES,
    *LINE_ENDS,
    *LINE_ENDS,
]


def joined(text: str) -> str:
    """`text` with surrogate pairs made whole, by way of UTF-16 as a JavaScript string has it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def lines_of(text: str) -> list[str]:
    return re.split("\r\n|\r|\n", text)


def line_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each line, the end before the line end."""
    ends = [*re.finditer("\r\n|\r|\n", text)]
    return list(zip([0, *(end.end() for end in ends)], [*(end.start() for end in ends), len(text)], strict=True))


class EncodedText:
    """A text in the code units of one encoding, and LSP's rules for places in it said as plainly as can be."""

    def __init__(self, text: str, encoding: PositionEncoding) -> None:
        self.text = text
        self.codec, self.width = CODECS[encoding]

    def encode(self, text: str) -> bytes:
        return text.encode(self.codec, "surrogatepass")

    def units_before(self, offset: int) -> int:
        return len(self.encode(self.text[:offset])) // self.width

    def place(self, line: int, character: int) -> int:
        """The number of units before a position; in UTF-16 that may be within a surrogate pair."""
        spans = line_spans(self.text)
        if line < 0:
            return 0
        if line >= len(spans):
            return self.units_before(len(self.text))
        start, end = (self.units_before(offset) for offset in spans[line])
        place = max(start, min(start + character, end))
        data = self.encode(self.text) if self.codec == "utf-8" else b""
        while place < len(data) and data[place] & 0xC0 == 0x80:  # Inside a character, which UTF-8 never cuts.
            place -= 1
        return place

    def offset_at(self, place: int) -> int:
        """The last character that begins at or before a place."""
        return max(offset for offset in range(len(self.text) + 1) if self.units_before(offset) <= place)

    def edited(self, edit: Edit) -> str:
        if edit.start is None or edit.end is None:
            return joined(edit.text)
        start, end = sorted(self.place(*position) * self.width for position in (edit.start, edit.end))
        data = self.encode(self.text)
        return joined((data[:start] + self.encode(edit.text) + data[end:]).decode(self.codec, "surrogatepass"))


def random_text(rng: random.Random, longest: int) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randint(0, longest)))


def random_edit(rng: random.Random, text: str, encoding: PositionEncoding) -> Edit:
    """An edit near some place of `text`: mostly small, often at a line's end, sometimes out of it or reversed."""
    lines = lines_of(text)
    codec, width = CODECS[encoding]

    def position() -> tuple[int, int]:
        line = rng.randint(-1, len(lines) + 1)
        inside = lines[line] if 0 <= line < len(lines) else ""
        length = len(inside.encode(codec, "surrogatepass")) // width
        return line, rng.choice([0, length, rng.randint(-1, length + 2), 2**31 - 1])

    start = position()
    near = (start[0], start[1] + rng.randint(-3, 4)), (start[0] + 1, 0), start, start
    end = position() if rng.random() < 0.02 else rng.choice(near)
    return Edit(start, end, random_text(rng, rng.choice([0, 1, 1, 2, 3, 8, 25])))


def assert_sound(rope: Rope) -> None:
    """Every rule that `tree` and `rope` promise about the shape and the sums of a rope's tree."""
    shape, root = rope._shape, rope._root
    pieces: list[str] = []

    def check(node: Node) -> tuple[int, tuple[int, ...]]:
        if isinstance(node, Leaf):
            pieces.append(node.text)
            assert len(node.text) <= shape.leaf
            assert node is root or len(node.text) >= shape.least_leaf
            measured = (
                len(node.text),
                len(lines_of(node.text)) - 1,
                len(node.text.encode("utf-16-le", "surrogatepass")) // 2,
                len(node.text.encode("utf-8", "surrogatepass")),
            )
            assert node.size == measured
            return 0, measured
        assert isinstance(node, Branch)
        assert len(node.children) <= shape.fan
        assert len(node.children) >= (2 if node is root else shape.least_fan)
        checked = [check(child) for child in node.children]
        heights = {height for height, _ in checked}
        assert heights == {node.height - 1}
        assert node.size == tuple(sum(sizes) for sizes in zip(*(size for _, size in checked), strict=True))
        return node.height, node.size

    check(root)
    for left, right in pairwise(pieces):
        assert (left[-1], right[0]) != ("\r", "\n")
    text = "".join(pieces)
    assert text == joined(text)
