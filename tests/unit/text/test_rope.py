"""The rope against a plain string, its tree's rules, and that nothing costs the size of the text."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import (
    ALPHABET,
    ENCODINGS,
    NOT_LINE_ENDS,
    EncodedText,
    assert_sound,
    joined,
    line_spans,
)

from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.rope import LEAF_SIZE, Rope
from codestral_ls.text.tree import Branch, Leaf, Node

UTF8, UTF16, UTF32 = PositionEncoding.UTF8, PositionEncoding.UTF16, PositionEncoding.UTF32

texts = st.lists(st.sampled_from(ALPHABET), max_size=60).map("".join)
shapes = st.tuples(st.integers(4, 9), st.integers(4, 6))
replacements = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 30), st.lists(st.sampled_from(ALPHABET), max_size=12).map("".join)),
    max_size=20,
)  # fmt: skip


def small(text: str) -> Rope:
    """A rope of many leaves for few characters, so that seams are everywhere."""
    return Rope.of(text, leaf_size=4, fan_out=4)


def nodes_of(node: Node) -> list[Node]:
    children = node.children if isinstance(node, Branch) else ()
    return [node, *(each for child in children for each in nodes_of(child))]


@given(text=texts, shape=shapes)
def test_a_rope_is_its_text_with_surrogate_pairs_made_whole(text, shape):
    rope = Rope.of(text, leaf_size=shape[0], fan_out=shape[1])
    assert str(rope) == joined(text)
    assert len(rope) == len(joined(text))
    assert_sound(rope)


@settings(max_examples=150)
@given(text=texts, shape=shapes, replacements=replacements)
def test_replacing_is_what_it_is_on_a_string_and_leaves_older_states_alone(text, shape, replacements):
    rope = Rope.of(text, leaf_size=shape[0], fan_out=shape[1])
    states = [(rope, str(rope))]
    for at, removed, inserted in replacements:
        rope, text = states[-1]
        start = min(at, len(text))
        rope = rope.replace(start, start + removed, inserted)
        states.append((rope, joined(text[:start] + inserted + text[start + removed :])))
    for rope, text in states:
        assert str(rope) == text
        assert_sound(rope)


@given(text=texts, start=st.integers(-5, 80), length=st.integers(-5, 80))
def test_a_slice_is_that_of_the_string_clamped(text, start, length):
    rope = small(text)
    text = str(rope)
    low = min(max(start, 0), len(text))
    assert rope.slice(start, start + length) == text[low : max(start + length, 0)]


@given(text=texts)
def test_lines_are_those_between_line_ends(text):
    rope = small(text)
    spans = line_spans(str(rope))
    assert rope.line_count == len(spans)
    assert [(rope.line_start(line), rope.line_end(line)) for line in range(len(spans))] == spans
    assert [rope.line_text(line) for line in range(len(spans))] == [str(rope)[a:b] for a, b in spans]


@given(text=texts)
def test_the_line_of_an_offset_is_the_last_that_begins_there_or_before(text):
    rope = small(text)
    starts = [start for start, _ in line_spans(str(rope))]
    for offset in range(len(rope) + 1):
        assert rope.line_of(offset) == max(line for line, start in enumerate(starts) if start <= offset)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts, line=st.integers(-1, 40), character=st.integers(-1, 40))
def test_positions_become_offsets_as_lsp_says(encoding, text, line, character):
    rope = small(text)
    naive = EncodedText(str(rope), encoding)
    place = naive.place(line, character)
    offset, inside = rope.locate(line, character, encoding)
    assert offset == rope.offset_at(line, character, encoding) == naive.offset_at(place)
    if encoding is not UTF8:  # The naive place has been clamped there.
        assert inside == place - naive.units_before(offset)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts)
def test_offsets_become_positions_and_come_back(encoding, text):
    rope = small(text)
    text = str(rope)
    naive = EncodedText(text, encoding)
    spans = line_spans(text)
    for offset in range(len(text) + 1):
        line, column = rope.position_at(offset, encoding)
        start, end = spans[line]
        assert start <= offset
        assert column == naive.units_before(min(offset, end)) - naive.units_before(start)
        assert rope.offset_at(line, column, encoding) == min(offset, end)


@pytest.mark.parametrize("mark", NOT_LINE_ENDS)
def test_what_python_takes_for_a_line_end_and_lsp_does_not_ends_no_line(mark):
    rope = Rope.of(f"a{mark}b\nc")
    assert rope.line_count == 2
    assert rope.line_text(0) == f"a{mark}b"


@pytest.mark.parametrize(("end", "lines"), [("\n", 3), ("\r", 3), ("\r\n", 3), ("\n\r", 5), ("\r\r\n", 5)])
def test_line_ends_are_three_and_the_longest_counts_once(end, lines):
    assert Rope.of(f"a{end}b{end}c").line_count == lines


def test_deleting_what_stands_between_cr_and_lf_joins_them_to_one_line_end():
    for length in range(12):
        before, after = "x" * length, "y" * 7
        rope = small(f"{before}\r---\n{after}").replace(length + 1, length + 4, "")
        assert str(rope) == f"{before}\r\n{after}"
        assert rope.line_count == 2
        assert_sound(rope)


def test_inserting_between_cr_and_lf_makes_them_two_line_ends():
    for length in range(12):
        before, after = "x" * length, "y" * 7
        rope = small(f"{before}\r\n{after}").replace(length + 1, length + 1, "-")
        assert rope.line_count == 3
        assert rope.line_text(1) == "-"
        assert_sound(rope)


@pytest.mark.parametrize(
    ("before", "inserted", "after", "lines"), [("\r", "\n", "", 2), ("", "\r", "\n", 2), ("\r", "\r", "\n", 3)]
)
def test_inserting_one_half_of_a_line_end_beside_the_other_joins_them(before, inserted, after, lines):
    for length in range(12):
        at = length + len(before)
        rope = small("x" * length + before + after + "y" * 7).replace(at, at, inserted)
        assert rope.line_count == lines
        assert_sound(rope)


def test_surrogates_that_meet_become_the_character_they_mean():
    for length in range(12):
        rope = small("x" * length + "\ud83d--\ude00" + "y" * 7).replace(length + 1, length + 3, "")
        assert str(rope) == "x" * length + "😀" + "y" * 7
        assert_sound(rope)


def test_surrogates_that_come_as_a_pair_become_the_character_they_mean():
    for rope in (small("a\ud83d\ude00b"), small("ab").replace(1, 1, "\ud83d\ude00")):
        assert str(rope) == "a😀b"
        assert (len(rope), rope.position_at(2, UTF16)) == (3, (0, 3))


def test_surrogates_in_the_wrong_order_stay_alone():
    assert str(small("\ude00--\ud83d").replace(1, 3, "")) == "\ude00\ud83d"


def test_the_empty_text_has_one_empty_line():
    for rope in (Rope.of(""), small("some text in leaves").replace(0, 100, "")):
        assert (len(rope), str(rope), rope.line_count, rope.line_text(0)) == (0, "", 1, "")
        assert rope.position_at(3, UTF16) == (0, 0)
        assert rope.locate(3, 3, UTF16) == (0, 0)
        assert str(rope.replace(0, 0, "back")) == "back"


def test_offsets_and_lines_out_of_the_text_are_clamped():
    rope = Rope.of("one\ntwo")
    assert (rope.line_start(-1), rope.line_end(-1), rope.line_of(-1)) == (0, 0, 0)
    assert (rope.line_start(2), rope.line_end(2), rope.line_of(99)) == (7, 7, 1)
    assert rope.line_text(2) == ""
    assert str(rope.replace(-3, 1, "O")) == "One\ntwo"
    assert str(rope.replace(50, 60, "!")) == "one\ntwo!"
    assert str(rope.replace(3, 1, "-")) == "one-\ntwo"


def test_an_edit_that_changes_nothing_is_the_same_rope():
    rope = Rope.of("text")
    assert rope.replace(2, 2, "") is rope


def test_leaves_and_branches_have_a_least_size():
    with pytest.raises(ValueError, match="at least 4"):
        Rope.of("text", leaf_size=3)
    with pytest.raises(ValueError, match="at least 4"):
        Rope.of("text", fan_out=3)


def test_a_rope_says_its_size_and_not_its_text():
    assert repr(Rope.of("secret\n")) == "<Rope of 7 characters in 2 lines>"


MANY_LINES = "value = compute(1, 2)\n" * 50_000
ONE_LINE = "value = compute(1, 2);" * 50_000
ONE_WIDE_LINE = "wert = größe('€', '😀');" * 50_000


@pytest.mark.parametrize("text", [MANY_LINES, ONE_LINE, ONE_WIDE_LINE], ids=["lines", "one line", "one wide line"])
@pytest.mark.parametrize(("removed", "inserted"), [(0, "a"), (1, ""), (5000, ""), (0, "b" * 5000), (500_000, "c")])
def test_an_edit_makes_few_new_nodes_and_shares_the_rest(text, removed, inserted):
    rope = Rope.of(text)
    middle = len(text) // 3
    edited = rope.replace(middle, middle + removed, inserted)
    old = {id(node) for node in nodes_of(rope._root)}
    new = [node for node in nodes_of(edited._root) if id(node) not in old]
    leaves = sum(len(node.text) for node in new if isinstance(node, Leaf))
    assert leaves <= 4 * LEAF_SIZE + len(inserted)
    assert len(new) <= 20


def test_a_keystroke_makes_one_leaf_and_the_branches_above_it():
    rope = Rope.of(ONE_LINE)
    height = rope._root.height if isinstance(rope._root, Branch) else 0
    old = {id(node) for node in nodes_of(rope._root)}
    first_leaf = next(node for node in nodes_of(rope._root) if isinstance(node, Leaf))
    for offset in (0, 1, len(first_leaf.text), len(first_leaf.text) + 1, len(rope)):
        typed = rope.replace(offset, offset, "x")
        assert sum(id(node) not in old for node in nodes_of(typed._root)) == height + 1
    assert height >= 2


@pytest.mark.parametrize("text", [MANY_LINES, ONE_LINE, ONE_WIDE_LINE], ids=["lines", "one line", "one wide line"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_edit_and_no_look_takes_memory_by_the_size_of_the_text(text, encoding):
    rope = Rope.of(text)
    middle = len(text) // 2

    def look() -> None:
        line, column = rope.position_at(middle, encoding)
        offset = rope.offset_at(line, column, encoding)
        assert offset == middle
        edited = rope.replace(offset, offset, "x")
        assert edited.slice(offset - 100, offset + 100)[100] == "x"
        edited.line_of(offset)

    tracemalloc.start()
    try:
        look()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_rope_costs_little_more_than_its_text_and_does_not_hold_the_original():
    tracemalloc.start()
    try:
        text = "some = line_of(source, code)  # 44 chars ..\n" * 200_000
        size = len(text)
        rope = Rope.of(text)
        del text
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rope) == size
    assert held < 1.2 * size
