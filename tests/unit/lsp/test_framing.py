"""Frames come out whole however the bytes are cut, and what is no frame costs no more than itself."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.lsp.framing import MAX_HEADER_BYTES, FrameParser, Garbage

BODIES = st.lists(
    st.one_of(st.binary(max_size=40).filter(lambda body: b"ontent" not in body), st.just(b'{"jsonrpc":"2.0"}')),
    max_size=4,
)
HEADERS = st.sampled_from(
    [
        b"Content-Length: %d\r\n\r\n",
        b"content-length:%d\r\n\r\n",
        b"CONTENT-LENGTH :  %d \r\n\r\n",
        b"Content-Length: %d\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: %d\r\nContent-Type: application/vscode-jsonrpc\r\n\r\n",
    ]
)
NOISE = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"Warning: something\n",
        b"no header at all\r\n\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"\x00\xff\xfe" * 50,
        b"x" * (MAX_HEADER_BYTES + 100),
        b"Content-Length",
    ]
)


def fed(pieces: list[bytes]) -> list[bytes | Garbage]:
    parser = FrameParser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


def bodies(frames: list[bytes | Garbage]) -> list[bytes]:
    return [frame for frame in frames if isinstance(frame, bytes)]


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(BODIES, HEADERS, st.lists(st.integers(min_value=0), max_size=8))
def test_whole_frames_come_out_under_all_cuts(messages: list[bytes], header: bytes, cuts: list[int]) -> None:
    stream = b"".join(header % len(body) + body for body in messages)
    assert fed(cut(stream, cuts)) == messages


@given(st.lists(st.tuples(NOISE, BODIES), max_size=3), st.lists(st.integers(min_value=0), max_size=8))
def test_noise_between_frames_costs_no_frame(parts: list[tuple[bytes, list[bytes]]], cuts: list[int]) -> None:
    stream = b"".join(
        noise + b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in messages)
        for noise, messages in parts
    )
    assert bodies(fed(cut(stream, cuts))) == [body for _, messages in parts for body in messages]


def test_noise_is_reported() -> None:
    frames = fed([b"<deprecated>\nContent-Length: 2\r\n\r\n{}"])
    assert frames == [Garbage(b"<deprecated>\nContent-Length: 2", "noise before a header"), b"{}"]


def test_a_length_that_is_too_great_costs_one_message() -> None:
    stream = b'Content-Length: 900000000\r\n\r\n{"a":1}Content-Length: 2\r\n\r\n{}Content-Length: 2\r\n\r\n[]'
    for size in (1, 7, len(stream)):
        frames = fed([stream[at : at + size] for at in range(0, len(stream), size)])
        assert bodies(frames) == [b"{}", b"[]"]
        assert any(isinstance(frame, Garbage) for frame in frames)


def test_a_body_that_speaks_of_headers_is_a_body() -> None:
    body = rb'{"text":"Content-Length: 5\r\n\r\nhello"}' * 400
    stream = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    assert fed([stream[at : at + 100] for at in range(0, len(stream), 100)]) == [body]


def test_a_length_that_is_too_small_costs_what_is_left_over() -> None:
    frames = fed([b'Content-Length: 3\r\n\r\n{"a":1}Content-Length: 2\r\n\r\n{}'])
    assert bodies(frames) == [b'{"a', b"{}"]


def test_a_header_cut_in_two_behind_long_noise_is_found() -> None:
    noise = b"x" * (MAX_HEADER_BYTES + 1)
    stream = noise + b"Content-Length: 2\r\n\r\n{}"
    for at in range(len(noise), len(stream)):
        assert bodies(fed([stream[:at], stream[at:]])) == [b"{}"], stream[:at][-20:]


def test_memory_holds_no_endless_headers() -> None:
    parser = FrameParser()
    for _ in range(100):
        parser.feed(b"x" * 1000)
    assert len(parser._buffer) <= MAX_HEADER_BYTES + 1000
