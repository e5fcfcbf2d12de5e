"""Code units of a piece of text in the three encodings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_models import ALPHABET, CODECS, ENCODINGS

from codestral_ls.text.columns import PositionEncoding, index_at, units

UTF8, UTF16, UTF32 = PositionEncoding.UTF8, PositionEncoding.UTF16, PositionEncoding.UTF32

texts = st.lists(st.sampled_from(ALPHABET), max_size=20).map("".join)


@pytest.mark.parametrize(
    ("text", "utf8", "utf16", "utf32"),
    [
        ("", 0, 0, 0),
        ("abc", 3, 3, 3),
        ("é", 2, 1, 1),
        ("e\u0301", 3, 2, 2),
        ("€", 3, 1, 1),
        ("😀", 4, 2, 1),
        ("a😀b", 6, 4, 3),
        ("\ud83d", 3, 1, 1),
        ("\ude00\ud83d", 6, 2, 2),
        ("\u2028\x0c", 4, 2, 2),
    ],
)
def test_each_encoding_counts_its_own_units(text, utf8, utf16, utf32):
    assert (units(text, UTF8), units(text, UTF16), units(text, UTF32)) == (utf8, utf16, utf32)


@pytest.mark.parametrize(
    ("encoding", "indices"),
    [
        # One entry for each number of units into "a😀é", from 0 on.
        (UTF8, [0, 1, 1, 1, 1, 2, 2, 3, 3]),
        (UTF16, [0, 1, 1, 2, 3, 3]),
        (UTF32, [0, 1, 2, 3, 3]),
    ],
)
def test_a_place_inside_a_character_is_clamped_to_its_start(encoding, indices):
    assert [index_at("a😀é", place, encoding) for place in range(len(indices))] == indices


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ["", "abc", "é😀", "\ud83d"])
def test_places_out_of_the_text_are_clamped_to_it(text, encoding):
    assert index_at(text, -1, encoding) == 0
    assert index_at(text, 1_000_000, encoding) == len(text)


def test_the_names_are_those_of_the_protocol():
    assert [encoding.value for encoding in ENCODINGS] == ["utf-8", "utf-16", "utf-32"]
    assert PositionEncoding("utf-16") is UTF16


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts)
def test_units_are_what_the_codec_makes(encoding, text):
    codec, width = CODECS[encoding]
    assert units(text, encoding) == len(text.encode(codec, "surrogatepass")) // width


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts, place=st.integers(-2, 80))
def test_index_at_finds_the_last_character_that_begins_there_or_before(encoding, text, place):
    starts = [units(text[:index], encoding) for index in range(len(text) + 1)]
    expected = max((index for index, start in enumerate(starts) if start <= place), default=0)
    assert index_at(text, place, encoding) == expected
