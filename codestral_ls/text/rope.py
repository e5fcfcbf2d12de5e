"""The text of a document: immutable, cheap to edit, to look into and to keep an old state of."""

# Operations: replace characters; slice; the line at an offset and the offsets of a line; an LSP position at an offset
# and back, in three encodings.
#
# Goals: nothing costs the size of the file, neither an edit nor a look, not even in a file of one line of 9 MB. A state
# taken before an edit stays as it was. Memory is little more than the text's.
#
# Plan: a B-tree of pieces of text, in which every node knows its characters, line ends, UTF-16 units and bytes; so any
# of these is found from any other in one descent. An edit makes a new leaf and new branches above it and shares the
# rest. What stands on both sides of a seam never belongs together: a `\r\n` lies in one leaf, and two surrogates that
# meet become the character that they mean. An edit that would bring such a pair together is widened to take it in.

from __future__ import annotations

import re

from codestral_ls.text import tree
from codestral_ls.text.columns import PositionEncoding, index_at, units
from codestral_ls.text.tree import BREAKS, CHARS, UTF8, UTF16, Branch, Leaf, Node, Shape

LEAF_SIZE = 2048
"""Characters in a leaf, at most. An ASCII text takes 1.6 bytes a character at 512, 1.3 at 1024, 1.15 here and 1.07 at
4096, where edits of other text become slower (tests/benchmarks/bench_text.py)."""

FAN_OUT = 32
"""Children of a branch, at most."""


class Rope:
    """A text of characters (code points), numbered from 0; lines end at `\\n`, `\\r\\n`, `\\r` and nowhere else.

    Offsets and lines outside the text are clamped to it, nothing raises for them. Two ropes are equal only if they are
    the same object; compare `str()` for the text.

        >>> rope = Rope.of("one\\r\\ntwo")
        >>> edited = rope.replace(5, 8, "2")
        >>> str(edited), edited.line_count, str(rope)
        ('one\\r\\n2', 2, 'one\\r\\ntwo')
    """

    __slots__ = ("_root", "_shape")

    def __init__(self, root: Node, shape: Shape) -> None:
        self._root = root
        self._shape = shape

    @classmethod
    def of(cls, text: str, *, leaf_size: int = LEAF_SIZE, fan_out: int = FAN_OUT) -> Rope:
        """A rope of `text`, in time proportional to it. It keeps copies of its pieces, not `text` itself."""
        shape = Shape(leaf_size, fan_out)
        return cls(tree.build(_surrogates_joined(text), shape), shape)

    def replace(self, start: int, end: int, text: str) -> Rope:
        """The rope with `text` in place of the characters from `start` up to `end`.

        A high surrogate that comes to stand before a low one is joined with it to one character, as in a JavaScript
        string.
        """
        start = self._clamped(start)
        end = max(start, self._clamped(end))
        if start == end and not text:
            return self
        before, after = self.slice(start - 1, start), self.slice(end, end + 1)
        first, last = (text[0], text[-1]) if text else (after, before)
        if _belong_together(before, first):
            start -= 1
            text = before + text
        if _belong_together(last, after):
            end += 1
            text += after
        text = _surrogates_joined(text)
        root = tree.replaced_in_leaf(self._root, start, end, text, self._shape)
        return Rope(root or self._respliced(start, end, text), self._shape)

    def _respliced(self, start: int, end: int, text: str) -> Node:
        shape = self._shape
        left, _ = tree.split(self._root, start, shape)
        _, right = tree.split(self._root, end, shape)
        if text:
            left = tree.join(left, tree.build(text, shape), shape)
        return tree.join(left, right, shape) or tree.leaf("")

    def __len__(self) -> int:
        return self._root.size[CHARS]

    def __str__(self) -> str:
        return self.slice(0, len(self))

    def __repr__(self) -> str:
        return f"<Rope of {len(self)} characters in {self.line_count} lines>"

    @property
    def line_count(self) -> int:
        """One more than there are line ends; so 1 for the empty text."""
        return self._root.size[BREAKS] + 1

    def slice(self, start: int, end: int) -> str:
        """The characters from `start` up to `end`. Costs the length of the result."""
        start, end = self._clamped(start), self._clamped(end)
        pieces: list[str] = []
        if start < end:
            _collect(self._root, start, end, pieces)
        return "".join(pieces)

    def line_start(self, line: int) -> int:
        """The offset of the first character of `line`; of the end of the text for a line that is not there."""
        if line <= 0:
            return 0
        return self._break(line - 1)[1] if line < self.line_count else len(self)

    def line_end(self, line: int) -> int:
        """The offset at which `line` ends, before its line end."""
        if line < 0:
            return 0
        return self._break(line)[0] if line < self.line_count - 1 else len(self)

    def line_text(self, line: int) -> str:
        """The text of `line` without its line end. Costs the line's length; `slice` takes a part of a long one."""
        return self.slice(self.line_start(line), self.line_end(line))

    def line_of(self, offset: int) -> int:
        """The line that `offset` stands in. Between `\\r` and `\\n` that is the line which they end."""
        return self._measure_before(self._clamped(offset), BREAKS)

    def locate(self, line: int, character: int, encoding: PositionEncoding) -> tuple[int, int]:
        """The offset of an LSP position, and how many units past it the position lies inside the character there.

        The second is 0 but for a position in the middle of a surrogate pair (1) or of a UTF-8 sequence (1 to 3).
        A column past the end of its line is the line's end, a line past the last is the end of the text, and what
        is negative counts as 0.
        """
        start, end = self.line_start(line), self.line_end(line)
        if character <= 0:
            return start, 0
        dimension = self._dimension(encoding)
        if dimension == CHARS:
            return min(start + character, end), 0
        offset, inside = self._seek(self._measure_before(start, dimension) + character, dimension, encoding)
        return (offset, inside) if offset < end else (end, 0)

    def offset_at(self, line: int, character: int, encoding: PositionEncoding) -> int:
        """The offset of an LSP position, clamped as `locate` says; inside a character it is the character's start."""
        return self.locate(line, character, encoding)[0]

    def position_at(self, offset: int, encoding: PositionEncoding) -> tuple[int, int]:
        """The LSP position (line, column in units of `encoding`) of `offset`.

        No position lies inside a line end: between `\\r` and `\\n` it is that of the line's end.
        """
        line = self.line_of(offset)
        start = self.line_start(line)
        offset = min(self._clamped(offset), self.line_end(line))
        dimension = self._dimension(encoding)
        if dimension == CHARS:
            return line, offset - start
        return line, self._measure_before(offset, dimension) - self._measure_before(start, dimension)

    def _clamped(self, offset: int) -> int:
        return min(max(offset, 0), len(self))

    def _dimension(self, encoding: PositionEncoding) -> int:
        """What to count for `encoding`: characters wherever all characters of the text are one unit each."""
        if encoding is PositionEncoding.UTF32:
            return CHARS
        dimension = UTF16 if encoding is PositionEncoding.UTF16 else UTF8
        size = self._root.size
        return CHARS if size[dimension] == size[CHARS] else dimension

    def _break(self, number: int) -> tuple[int, int]:
        """Where the line end `number` of the text begins and ends."""
        base, node = 0, self._root
        while isinstance(node, Branch):
            for child in node.children:
                breaks = child.size[BREAKS]
                if number < breaks:
                    break
                number -= breaks
                base += child.size[CHARS]
            node = child
        begin, end = tree.find_break(node.text, number)
        return base + begin, base + end

    def _measure_before(self, offset: int, dimension: int) -> int:
        """The size in `dimension` of the text before `offset`."""
        total, node = 0, self._root
        while isinstance(node, Branch):
            for child in node.children:
                length = child.size[CHARS]
                if offset <= length:
                    break
                offset -= length
                total += child.size[dimension]
            node = child
        return total + _measure(node, offset, dimension)

    def _seek(self, target: int, dimension: int, encoding: PositionEncoding) -> tuple[int, int]:
        """The offset of the character that `target` units fall on, and the units past its start."""
        base, node = 0, self._root
        target = min(target, node.size[dimension])
        while isinstance(node, Branch):
            for child in node.children:
                size = child.size
                if target <= size[dimension]:
                    break
                target -= size[dimension]
                base += size[CHARS]
            node = child
        index = index_at(node.text, target, encoding)
        if index == len(node.text):
            return base + index, 0
        return base + index, target - units(node.text[:index], encoding)


def _collect(node: Node, start: int, end: int, pieces: list[str]) -> None:
    if isinstance(node, Leaf):
        pieces.append(node.text[start:end] if start > 0 or end < len(node.text) else node.text)
        return
    for child in node.children:
        length = child.size[CHARS]
        if start < length:
            _collect(child, max(start, 0), min(end, length), pieces)
        start -= length
        end -= length
        if end <= 0:
            return


def _measure(node: Leaf, offset: int, dimension: int) -> int:
    if offset == len(node.text) or node.size[dimension] == 0:
        return node.size[dimension]
    head = node.text[:offset]
    if dimension == BREAKS:
        inside_break = node.text[offset - 1 : offset + 1] == "\r\n" if offset else False
        return tree.count_breaks(head) - inside_break
    return units(head, PositionEncoding.UTF16 if dimension == UTF16 else PositionEncoding.UTF8)


_LONE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _surrogates_joined(text: str) -> str:
    if text.isascii():
        return text
    return _LONE_PAIR.sub(lambda pair: _meaning(pair[0]), text)


def _meaning(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _belong_together(left: str, right: str) -> bool:
    return (left == "\r" and right == "\n") or _LONE_PAIR.fullmatch(left + right) is not None
