"""Documents as an editor opens, changes and closes them, and what a completion reads of a snapshot."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from text_models import ALPHABET, ENCODINGS, EncodedText, assert_sound, joined

from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.document import (
    CHANGES_KEPT,
    LONGEST_CHANGE_KEPT,
    Anomaly,
    Document,
    Documents,
    Edit,
    Snapshot,
)
from codestral_ls.text.rope import Rope

UTF8, UTF16, UTF32 = PositionEncoding.UTF8, PositionEncoding.UTF16, PositionEncoding.UTF32

URI = "file:///a.py"

texts = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)
positions = st.tuples(st.integers(-1, 12), st.integers(-1, 12) | st.just(2**31 - 1))
edits = st.builds(Edit, positions, positions, st.lists(st.sampled_from(ALPHABET), max_size=6).map("".join))
full_texts = st.builds(Edit, st.none(), st.none(), texts)


def document(text: str, version: int | None = 1) -> Document:
    return Document(URI, "python", version, Rope.of(text, leaf_size=4, fan_out=4))


def snapshot(text: str) -> Snapshot:
    return document(text).snapshot()


def applied(text: str, encoding: PositionEncoding, *edits: Edit) -> str:
    target = document(text)
    assert target.apply(edits, 2, encoding) is None
    return str(target.snapshot().text)


def replayed(text: str, target: Document) -> str:
    for change in target.changes:
        text = joined(text[: change.start] + change.inserted + text[change.start + change.removed :])
    return text


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=150)
@given(text=texts, changes=st.lists(edits | full_texts, max_size=12))
def test_edits_leave_the_text_that_the_client_has_and_old_snapshots_alone(encoding, text, changes):
    target = document(text)
    expected = joined(text)
    states = [(target.snapshot(), expected)]
    for version, change in enumerate(changes, start=2):
        expected = EncodedText(expected, encoding).edited(change)
        assert target.apply([change], version, encoding) is None
        states.append((target.snapshot(), expected))
    for state, expected in states:
        assert str(state.text) == expected
        assert_sound(state.text)
    assert replayed(joined(text), target) == expected


def test_the_edits_of_one_change_apply_each_to_what_the_one_before_left():
    both = Edit((0, 0), (0, 0), "x\n"), Edit((1, 0), (1, 1), "B")
    assert applied("abc", UTF16, *both) == "x\nBbc"


@pytest.mark.parametrize(
    ("encoding", "column"), [(UTF8, 5), (UTF16, 3), (UTF32, 2)], ids=[e.value for e in (UTF8, UTF16, UTF32)]
)
def test_columns_count_in_the_encoding_agreed_on(encoding, column):
    assert applied("a😀b", encoding, Edit((0, column), (0, column), "|")) == "a😀|b"


@pytest.mark.parametrize("line", ["a\x0cb", "a\u2028b", "a\x85b", "a\x1cb"])
def test_an_edit_after_a_form_feed_and_its_like_lands_on_its_line(line):
    assert applied(f"{line}\nX\n", UTF16, Edit((1, 0), (1, 1), "Y")) == f"{line}\nY\n"


def test_a_reversed_range_is_swapped():
    assert applied("ab\ncd", UTF16, Edit((1, 1), (0, 1), "-")) == "a-d"


def test_positions_past_the_end_are_clamped_before_the_line_end():
    assert applied("ab\r\ncd", UTF16, Edit((0, 99), (0, 99), "!")) == "ab!\r\ncd"
    assert applied("ab\r\ncd", UTF16, Edit((9, 0), (10, 3), "!")) == "ab\r\ncd!"
    assert applied("ab\r\ncd", UTF16, Edit((-1, 5), (0, -2), "!")) == "!ab\r\ncd"


def test_half_a_surrogate_pair_stays_when_the_other_is_replaced():
    assert applied("a😀b", UTF16, Edit((0, 2), (0, 3), "x")) == "a\ud83dxb"
    assert applied("a😀b", UTF16, Edit((0, 1), (0, 2), "x")) == "ax\ude00b"


def test_an_insertion_in_the_middle_of_a_surrogate_pair_splits_it_and_its_deletion_makes_it_whole():
    target = document("a😀b")
    target.apply([Edit((0, 2), (0, 2), "x")], 2, UTF16)
    assert str(target.snapshot().text) == "a\ud83dx\ude00b"
    target.apply([Edit((0, 2), (0, 3), "")], 3, UTF16)
    assert str(target.snapshot().text) == "a😀b"


def test_replacing_one_half_of_a_pair_by_another_makes_another_character():
    assert applied("😀", UTF16, Edit((0, 1), (0, 2), "\ude01")) == "😁"


def test_a_place_inside_a_utf8_sequence_is_the_start_of_its_character():
    assert applied("a😀b", UTF8, Edit((0, 3), (0, 3), "x")) == "ax😀b"


def test_a_full_text_replaces_everything_and_may_be_followed_by_ranges():
    whole = Edit(None, None, "new\ntext")
    assert applied("old", UTF16, whole, Edit((1, 0), (1, 4), "line")) == "new\nline"


def test_a_full_text_is_remembered_as_the_one_edit_that_makes_the_difference():
    target = document("def f():\n    return\n")
    target.apply([Edit(None, None, "def f():\n    return 1\n")], 2, UTF16)
    (change,) = target.changes
    assert (change.version, change.start, change.removed, change.inserted) == (2, 19, 0, " 1")


@given(old=texts, new=texts)
def test_a_full_text_is_remembered_without_what_both_have_in_common(old, new):
    old, new = joined(old), joined(new)
    target = document(old)
    target.apply([Edit(None, None, new)], 2, UTF16)
    for change in target.changes:
        removed = old[change.start : change.start + change.removed]
        assert removed[:1] != change.inserted[:1]
        assert removed[-1:] != change.inserted[-1:]


def test_a_full_text_that_changes_nothing_is_no_change():
    target = document("same")
    target.apply([Edit(None, None, "same")], 2, UTF16)
    assert target.changes == ()
    assert target.version == 2


@pytest.mark.parametrize(("old", "new"), [("aaa", "aa"), ("aa", "aaa"), ("", "a"), ("a", ""), ("abab", "ab")])
def test_a_full_text_that_repeats_itself_is_not_cut_short(old, new):
    assert applied(old, UTF16, Edit(None, None, new)) == new


def test_an_empty_document_takes_edits():
    assert applied("", UTF16, Edit((0, 0), (0, 0), "a\n")) == "a\n"
    assert applied("a\n", UTF16, Edit((0, 0), (1, 0), "")) == ""


def test_changes_tell_offsets_in_characters_and_the_version_after():
    target = document("é😀\nxyz")
    target.apply([Edit((1, 0), (1, 2), "AB"), Edit((0, 3), (0, 3), "!")], 7, UTF16)
    assert [(c.version, c.start, c.removed, c.inserted) for c in target.changes] == [(7, 3, 2, "AB"), (7, 2, 0, "!")]


def test_only_the_last_changes_are_kept():
    target = document("")
    for version in range(2, 2 + CHANGES_KEPT + 3):
        target.apply([Edit((0, 0), (0, 0), str(version))], version, UTF16)
    assert len(target.changes) == CHANGES_KEPT
    assert target.changes[0].version == 5
    assert target.changes[-1].version == CHANGES_KEPT + 4


def test_a_paste_too_long_to_keep_takes_the_changes_before_it_along():
    target = document("")
    target.apply([Edit((0, 0), (0, 0), "a")], 2, UTF16)
    target.apply([Edit((0, 0), (0, 0), "b" * LONGEST_CHANGE_KEPT)], 3, UTF16)
    assert [change.version for change in target.changes] == [2, 3]
    target.apply([Edit((0, 0), (0, 0), "c" * (LONGEST_CHANGE_KEPT + 1))], 4, UTF16)
    assert target.changes == ()
    target.apply([Edit((0, 0), (0, 0), "d")], 5, UTF16)
    assert [change.version for change in target.changes] == [5]


def test_a_version_may_jump():
    target = document("", version=0)
    assert target.apply([Edit((0, 0), (0, 0), "a")], 40, UTF16) is None
    assert target.version == 40


@pytest.mark.parametrize("version", [5, 4, -1])
def test_a_version_that_does_not_grow_is_reported_and_its_edits_applied(version):
    target = document("", version=5)
    assert target.apply([Edit((0, 0), (0, 0), "a")], version, UTF16) is Anomaly.VERSION_NOT_HIGHER
    assert str(target.snapshot().text) == "a"
    assert target.version == version


@pytest.mark.parametrize(("before", "after"), [(None, 1), (3, None), (None, None)])
def test_an_editor_that_counts_no_versions_does_nothing_odd(before, after):
    target = document("", version=before)
    assert target.apply([Edit((0, 0), (0, 0), "a")], after, UTF16) is None
    assert target.version == after


def test_a_snapshot_stays_while_the_document_goes_on():
    target = document("one")
    before = target.snapshot()
    target.apply([Edit((0, 0), (0, 3), "two")], 2, UTF16)
    assert (before.version, str(before.text)) == (1, "one")
    assert (target.snapshot().version, str(target.snapshot().text)) == (2, "two")
    assert target.snapshot() is target.snapshot()


def test_documents_are_opened_changed_and_closed():
    documents = Documents()
    assert documents.encoding is UTF16
    documents.encoding = UTF32
    assert documents.open(URI, "python", 1, "😀b") is None
    assert documents.change(URI, 2, [Edit((0, 1), (0, 2), "c")]) is None
    found = documents.get(URI)
    assert found is not None
    assert (found.uri, found.language, found.version) == (URI, "python", 2)
    assert str(found.snapshot().text) == "😀c"
    assert documents.close(URI) is None
    assert documents.get(URI) is None


def test_what_is_done_to_a_document_never_opened_is_reported_and_nothing_else():
    documents = Documents()
    assert documents.change(URI, 2, [Edit((0, 0), (0, 0), "x")]) is Anomaly.NOT_OPEN
    assert documents.close(URI) is Anomaly.NOT_OPEN
    assert documents.get(URI) is None


def test_a_document_opened_again_is_replaced():
    documents = Documents()
    documents.open(URI, "python", 8, "old")
    documents.change(URI, 9, [Edit((0, 0), (0, 0), "x")])
    old = documents.get(URI)
    assert documents.open(URI, "rust", 1, "new") is Anomaly.OPENED_TWICE
    new = documents.get(URI)
    assert old is not None
    assert new is not None
    assert (new.language, new.version, str(new.snapshot().text), new.changes) == ("rust", 1, "new", ())
    assert str(old.snapshot().text) == "xold"
    assert documents.change(URI, 2, []) is None


def test_two_documents_do_not_meet():
    documents = Documents()
    documents.open("file:///a", "python", 1, "a")
    documents.open("file:///b", "python", 1, "b")
    documents.change("file:///a", 2, [Edit((0, 1), (0, 1), "!")])
    other = documents.get("file:///b")
    assert other is not None
    assert (str(other.snapshot().text), other.version) == ("b", 1)


@example(text="abc", offset=-1, width=2)
@example(text="abc", offset=5, width=3)
@given(text=texts, offset=st.integers(-2, 60), width=st.integers(-2, 60))
def test_prefix_and_suffix_are_the_text_round_an_offset(text, offset, width):
    view = snapshot(text)
    text = str(view.text)
    place, wanted = min(max(offset, 0), len(text)), max(width, 0)
    assert view.prefix(offset, width) == text[max(place - wanted, 0) : place]
    assert view.suffix(offset, width) == text[place : place + wanted]


@pytest.mark.parametrize(
    ("offset", "before", "after"),
    [
        (0, "", "one two"),
        (4, "one ", "two"),
        (7, "one two", ""),
        (8, "one two", ""),  # Between the two halves of the line end.
        (9, "", "three"),
        (14, "three", ""),
        (99, "three", ""),
        (-1, "", "one two"),
    ],
)
def test_the_line_round_an_offset_is_cut_in_two_there(offset, before, after):
    view = snapshot("one two\r\nthree")
    assert (view.line_before(offset), view.line_after(offset)) == (before, after)


def test_the_line_round_an_offset_can_be_had_in_part():
    view = snapshot("x\none two three\ny")
    assert (view.line_before(9, 4), view.line_after(9, 4)) == (" two", " thr")
    assert (view.line_before(9, 0), view.line_after(9, 0)) == ("", "")
    assert (view.line_before(9, -1), view.line_after(9, -1)) == ("", "")
    assert (view.line_before(9, 100), view.line_after(9, 100)) == ("one two", " three")
    assert (view.line_before(99, 1), snapshot("one").line_after(-1, 2)) == ("y", "on")


@pytest.mark.parametrize(
    ("text", "eol"),
    [
        ("", "\n"),
        ("no end", "\n"),
        ("a\nb\r\nc\r\n", "\n"),
        ("a\r\nb\nc\n", "\r\n"),
        ("a\rb\r", "\r"),
        ("\x0c\u2028\r\n", "\r\n"),
    ],
)
def test_the_line_end_is_that_of_the_first_line(text, eol):
    assert snapshot(text).eol == eol
