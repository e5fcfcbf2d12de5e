"""Server-sent events from bytes: the same events however the bytes are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.api import events
from codestral_ls.api.errors import NonsenseAnswer
from codestral_ls.api.events import EventParser


def parse(*pieces: bytes, close: bool = False) -> list[str]:
    parser = EventParser()
    found = [data for piece in pieces for data in parser.feed(piece)]
    return found + parser.close() if close else found


def by_definition(stream: bytes) -> list[str]:
    """The events of a whole stream by the words of the HTML standard, section 9.2.6, whole and at once."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    found: list[str] = []
    data: list[bytes] = []
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        if not line:
            if data:
                found.append(b"\n".join(data).decode("utf-8", "replace"))
            data = []
        elif name == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
    return found


FRAGMENTS = st.sampled_from(
    [
        b"data:",
        b"data: ",
        b"data",
        b"dat",
        b":",
        b"event: error",
        b"id: 1",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\n\r",
        b" ",
        b"[DONE]",
        b'{"a": "\xe2\x80\xa8\xc2\x85"}',
        b"\xef\xbb\xbf",
        "größer 𝄞".encode(),
        b"\xff\x00\x0c\x1c",
    ]
)
STREAMS = st.lists(FRAGMENTS | st.binary(max_size=4), max_size=30).map(b"".join)


@given(stream=STREAMS, cuts=st.lists(st.integers(min_value=0, max_value=300), max_size=12))
def test_any_stream_gives_the_same_events_under_any_cut(stream: bytes, cuts: list[int]) -> None:
    at = sorted(min(cut, len(stream)) for cut in cuts)
    pieces = [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]
    assert parse(*pieces) == by_definition(stream)
    assert parse(*(bytes([byte]) for byte in stream)) == by_definition(stream)


@given(stream=STREAMS, cut=st.integers(min_value=0, max_value=300))
def test_the_end_of_a_stream_gives_the_same_last_event_under_any_cut(stream: bytes, cut: int) -> None:
    assert parse(stream[:cut], stream[cut:], close=True) == parse(stream, close=True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CR LF", "CR"])
def test_each_line_end_ends_an_event_as_soon_as_it_is_there(end: bytes) -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1" + end) == []
    # For CR CR nothing more may come for minutes: the event must not wait for the byte after it.
    assert parser.feed(end) == ["1"]
    assert parser.feed(b"data: 2" + end + end) == ["2"]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: 1\r\ndata: 2\n\rdata: 3\r\r", ["1\n2", "3"]),
        (b"data: 1\r\n\r\n\n\r\rdata: 2\n\n", ["1", "2"]),
    ],
)
def test_line_ends_may_be_mixed(stream: bytes, found: list[str]) -> None:
    assert parse(stream) == found


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_what_ends_a_line_only_in_text_ends_none_here(separator: str) -> None:
    data = json.dumps({"content": f"a{separator}b"}, ensure_ascii=False)
    assert parse(f"data: {data}\n\n".encode()) == [data]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"\xef\xbb\xbfdata: 1\n\n", ["1"]),
        (b"data: \xef\xbb\xbf1\n\n", ["\ufeff1"]),
        (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", ["1"]),
    ],
    ids=["at the start", "in the data", "later"],
)
def test_a_byte_order_mark_counts_at_the_start_only(stream: bytes, found: list[str]) -> None:
    assert parse(stream) == found


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b": keep-alive\n\ndata: 1\n\n", ["1"]),
        (b"data: 1\n: in between\ndata: 2\n\n", ["1\n2"]),
        (b"event: error\nid: 7\nretry: 10\ndata: 1\n\n", ["1"]),
        (b"event: ping\n\n", []),
        (b"data\n\n", [""]),
        (b"data:\n\n", [""]),
        (b"data:\ndata:\n\n", ["\n"]),
        (b"data:1\n\n", ["1"]),
        (b"data:  1\n\n", [" 1"]),
        (b"data: a: b\n\n", ["a: b"]),
        (b"database: 1\n\n", []),
        (b" data: 1\n\n", []),
        (b"Data: 1\n\n", []),
        (b"data: {\ndata: }\n\n", ["{\n}"]),
    ],
)
def test_fields(stream: bytes, found: list[str]) -> None:
    assert parse(stream) == found


def test_a_character_cut_in_the_middle_is_whole_again() -> None:
    stream = "data: größer 𝄞\n\n".encode()
    for cut in range(len(stream)):
        assert parse(stream[:cut], stream[cut:]) == ["größer 𝄞"]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"data: \xff\xfe1\n\n") == ["\ufffd\ufffd1"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_the_end_of_the_stream_completes_the_last_event(end: bytes) -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1" + end) == []
    assert parser.close() == ["1"]
    assert parser.close() == []


def test_a_stream_that_ended_well_has_no_last_event() -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1\n\n") == ["1"]
    assert parser.close() == []


@pytest.mark.parametrize(
    "piece",
    [b"x", b"data: 1\n", b"data\n", b"data:\n", b"\rdata:"],
    ids=["one line", "data lines", "bare data", "empty data", "empty data with CR"],
)
def test_an_event_without_end_is_given_up(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 1000)
    with pytest.raises(NonsenseAnswer):
        parse(b"data: before\n\n", *[piece] * 2000)


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["byte by byte", "small pieces", "at once"])
@pytest.mark.parametrize(("length", "good"), [(94, True), (95, False)])
def test_the_longest_event_is_the_same_however_it_is_cut(
    size: int, length: int, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 100)
    stream = b"data: " + b"x" * length + b"\n\n"
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    if good:
        assert parse(*pieces) == ["x" * length]
    else:
        with pytest.raises(NonsenseAnswer):
            parse(*pieces)


def test_many_events_of_ordinary_size_have_no_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 100)
    stream = b": a comment\ndata: " + b"x" * 50 + b"\n\n"
    assert parse(stream * 100) == ["x" * 50] * 100
    assert parse(*[stream] * 100) == ["x" * 50] * 100


def test_comments_are_no_part_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 100)
    assert parse(b"data: 1\n", *[b": keep-alive\n"] * 100, b"\n") == ["1"]
