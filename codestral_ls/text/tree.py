"""The B-tree under a rope: immutable nodes, and the three ways to make new ones of old (build, split, join).

Every leaf is equally deep; leaves and branches hold between half and all of what `Shape` allows, the root excepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple, TypeAlias

from codestral_ls.text.columns import PositionEncoding, units

Size: TypeAlias = "tuple[int, int, int, int]"
"""What a piece of text measures, in the order of the four indices below."""

CHARS, BREAKS, UTF16, UTF8 = range(4)


class Leaf(NamedTuple):
    """A piece of the text. No leaf ends inside a `\\r\\n`."""

    text: str
    size: Size


class Branch(NamedTuple):
    """Nodes side by side, and what they measure together."""

    children: tuple[Leaf | Branch, ...]
    size: Size
    height: int


Node: TypeAlias = "Leaf | Branch"


@dataclass(frozen=True)
class Shape:
    """How wide a tree may grow: `leaf` characters in a leaf (at least 4), `fan` children of a branch (at least 4)."""

    leaf: int
    fan: int

    def __post_init__(self) -> None:
        if self.leaf < 4 or self.fan < 4:
            raise ValueError(f"a tree needs leaves and branches of at least 4, not {self.leaf} and {self.fan}")

    @property
    def least_leaf(self) -> int:
        """Half, less the one character by which a cut gives way to a `\\r\\n`."""
        return self.leaf // 2 - 1

    @property
    def least_fan(self) -> int:
        return self.fan // 2


def leaf(text: str) -> Leaf:
    """A leaf of `text`, measured."""
    length = len(text)
    breaks = count_breaks(text)
    if text.isascii():
        return Leaf(text, (length, breaks, length, length))
    return Leaf(text, (length, breaks, units(text, PositionEncoding.UTF16), units(text, PositionEncoding.UTF8)))


def branch(children: tuple[Node, ...]) -> Branch:
    """A branch of `children`, which are equally high."""
    chars = breaks = utf16 = utf8 = 0
    for child in children:
        size = child.size
        chars += size[CHARS]
        breaks += size[BREAKS]
        utf16 += size[UTF16]
        utf8 += size[UTF8]
    return Branch(children, (chars, breaks, utf16, utf8), _height(children[0]) + 1)


def build(text: str, shape: Shape) -> Node:
    """A tree of `text`, three quarters full so that typing finds room. Costs the length of `text`."""
    level: list[Node] = [leaf(piece) for piece in _pieces(text, shape)]
    while len(level) > 1:
        level = _grouped(level, shape)
    return level[0]


def split(node: Node, at: int, shape: Shape) -> tuple[Node | None, Node | None]:
    """The tree before and the tree after `at` characters, either None where there is no text."""
    if at <= 0:
        return None, node
    if at >= node.size[CHARS]:
        return node, None
    if isinstance(node, Leaf):
        return leaf(node.text[:at]), leaf(node.text[at:])
    index = 0
    while at > node.children[index].size[CHARS]:
        at -= node.children[index].size[CHARS]
        index += 1
    left, right = split(node.children[index], at, shape)
    return (
        join(_row(node.children[:index]), left, shape),
        join(right, _row(node.children[index + 1 :]), shape),
    )


def join(left: Node | None, right: Node | None, shape: Shape) -> Node | None:
    """One tree of both. The caller sees to it that no `\\r\\n` comes to lie across the seam."""
    if left is None or right is None:
        return left or right
    return _row(_joined(left, right, shape))


def replaced_in_leaf(node: Node, start: int, end: int, text: str, shape: Shape) -> Node | None:
    """`node` with `text` for the characters from `start` to `end`, if one leaf can take it; else None.

    This is what a keystroke costs: one leaf, and the branches above it.
    """
    if isinstance(node, Leaf):
        length = len(node.text) - (end - start) + len(text)
        if not shape.least_leaf <= length <= shape.leaf:
            return None
        return leaf(node.text[:start] + text + node.text[end:])
    children = node.children
    for index, child in enumerate(children):
        length = child.size[CHARS]
        if end <= length:
            new = replaced_in_leaf(child, start, end, text, shape)
            if new is None:
                return None
            size, gone, come = node.size, child.size, new.size
            return Branch(
                (*children[:index], new, *children[index + 1 :]),
                (
                    size[0] - gone[0] + come[0],
                    size[1] - gone[1] + come[1],
                    size[2] - gone[2] + come[2],
                    size[3] - gone[3] + come[3],
                ),
                node.height,
            )
        if start < length:
            return None
        start -= length
        end -= length
    return None


_BREAK = re.compile("\r\n|\r|\n")


def count_breaks(text: str) -> int:
    """How many line ends `text` has: `\\n`, `\\r\\n` and `\\r`, and nothing else."""
    breaks = text.count("\n")
    if "\r" in text:
        breaks += text.count("\r") - text.count("\r\n")
    return breaks


def find_break(text: str, number: int) -> tuple[int, int]:
    """Where the line end `number` (from 0) of `text` begins and ends. `text` has that many."""
    if "\r" in text:
        return next(islice(_BREAK.finditer(text), number, None)).span()
    end = len(text) - len(text.split("\n", number + 1)[-1])
    return end - 1, end


def _joined(left: Node, right: Node, shape: Shape) -> tuple[Node, ...]:
    """One node or two, as high as the higher of both, well filled if either was."""
    if isinstance(left, Leaf):
        if isinstance(right, Leaf):
            return _joined_leaves(left, right, shape)
        children = _joined(left, right.children[0], shape) + right.children[1:]
    elif isinstance(right, Leaf) or left.height > right.height:
        children = left.children[:-1] + _joined(left.children[-1], right, shape)
    elif right.height > left.height:
        children = _joined(left, right.children[0], shape) + right.children[1:]
    else:
        children = left.children + right.children
    if len(children) <= shape.fan:
        return (branch(children),)
    middle = len(children) // 2
    return branch(children[:middle]), branch(children[middle:])


def _joined_leaves(left: Leaf, right: Leaf, shape: Shape) -> tuple[Node, ...]:
    if min(len(left.text), len(right.text)) >= shape.least_leaf:
        return left, right
    text = left.text + right.text
    if len(text) <= shape.leaf:
        return (leaf(text),)
    middle = _cut_near(text, len(text) // 2)
    return leaf(text[:middle]), leaf(text[middle:])


def _row(nodes: tuple[Node, ...]) -> Node | None:
    if len(nodes) > 1:
        return branch(nodes)
    return nodes[0] if nodes else None


def _height(node: Node) -> int:
    return node.height if isinstance(node, Branch) else 0


def _pieces(text: str, shape: Shape) -> list[str]:
    if len(text) <= shape.leaf:
        return [text]
    count = -(-len(text) // (shape.leaf * 3 // 4))
    cuts = [_cut_near(text, len(text) * number // count) for number in range(1, count)]
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def _grouped(level: list[Node], shape: Shape) -> list[Node]:
    count = 1 if len(level) <= shape.fan else -(-len(level) // (shape.fan * 3 // 4))
    bounds = [len(level) * number // count for number in range(count + 1)]
    return [branch(tuple(level[start:end])) for start, end in pairwise(bounds)]


def _cut_near(text: str, at: int) -> int:
    return at + 1 if text[at - 1 : at + 1] == "\r\n" else at
