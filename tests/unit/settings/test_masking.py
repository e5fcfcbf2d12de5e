"""No key in any text that is written, and no text spoilt that holds none."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from codestral_ls.settings import KeyFilter, mask
from codestral_ls.settings.masking import mask_bearer, mask_userinfo

KEY = 'k/1+2=3&"\\4'


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"header {KEY}, again {KEY}",
        quote(KEY, safe=""),
        quote(KEY),
        urlencode({"key": KEY}),
        json.dumps({"key": KEY}),
        repr([KEY]),
    ],
)
def test_a_key_is_masked_in_each_spelling(text: str) -> None:
    masked = mask(text, [KEY])
    assert "[key]" in masked
    assert "1" not in masked


def test_a_key_that_begins_another_leaves_no_rest() -> None:
    assert mask("abc abcdef", ["abc", "abcdef"]) == "[key] [key]"


@pytest.mark.parametrize("keys", [[], [""], ["other"]])
def test_text_without_a_key_stays(keys: list[str]) -> None:
    assert mask("nothing to hide", keys) == "nothing to hide"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc123def", "Authorization: Bearer [key]"),
        ("{'authorization': 'bearer abc123def', 'x': 1}", "{'authorization': 'bearer [key]', 'x': 1}"),
        ('{"a":"Bearer abc123def"}', '{"a":"Bearer [key]"}'),
        ("(b'Authorization', b'Bearer abc123def')", "(b'Authorization', b'Bearer [key]')"),
        ("?auth=Bearer%20abc123def&x=1", "?auth=Bearer%20[key]"),
        ("the bearer of bad news", "the bearer of bad news"),
        ("Bearer", "Bearer"),
        ("a forbearer abc123def", "a forbearer abc123def"),
    ],
)
def test_what_looks_like_a_bearer_token_is_masked(text: str, masked: str) -> None:
    assert mask_bearer(text) == masked


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://user:pw@proxy.example:3128", "http://[hidden]@proxy.example:3128"),
        ("http://user@proxy.example", "http://[hidden]@proxy.example"),
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example/@team", "http://proxy.example/@team"),
        ("none", "none"),
    ],
)
def test_user_and_password_of_a_url_are_masked(url: str, masked: str) -> None:
    assert mask_userinfo(url) == masked


class Log:
    """A logger of its own with the filter on its handler, as the server sets it up."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.addFilter(KeyFilter(lambda: self.keys))
        self.logger = logging.getLogger("codestral_ls.test_masking")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.handler)

    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    log.keys.append("hunter2")
    yield log
    log.logger.removeHandler(log.handler)


class Spiteful:
    def __str__(self) -> str:
        raise RuntimeError("hunter2")

    __repr__ = __str__


class TestLogFilter:
    def test_message_and_arguments(self, log: Log) -> None:
        log.logger.info("hunter2 %s %r", "hunter2", {"k": "hunter2"})
        assert log.text() == "[key] [key] {'k': '[key]'}\n"

    def test_arguments_by_name(self, log: Log) -> None:
        log.logger.info("%(who)s said", {"who": "hunter2"})
        assert log.text() == "[key] said\n"

    def test_a_percent_sign_in_the_result_is_no_format(self, log: Log) -> None:
        log.logger.info("%s", "100%s hunter2")
        assert log.text() == "100%s [key]\n"

    def test_bearer_tokens_that_nobody_told_us(self, log: Log) -> None:
        log.logger.info("sent %s", {"Authorization": "Bearer other-secret"})
        assert "other-secret" not in log.text()

    def test_exceptions_and_their_causes(self, log: Log) -> None:
        try:
            try:
                raise ValueError("hunter2 inside")
            except ValueError as error:
                raise RuntimeError("Bearer other-secret") from error
        except RuntimeError:
            log.logger.exception("failed")
        assert "RuntimeError: Bearer [key]" in log.text()
        assert "ValueError: [key] inside" in log.text()
        assert "hunter2" not in log.text()

    def test_an_exception_is_out_of_reach_of_other_formatters(self, log: Log) -> None:
        class Own(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                return repr(record.exc_info) + str(record.exc_text)

        log.handler.setFormatter(Own())
        try:
            raise ValueError("hunter2")
        except ValueError:
            log.logger.exception("failed")
        assert "ValueError: [key]" in log.text()
        assert "hunter2" not in log.text()

    def test_the_stack(self, log: Log) -> None:
        log.logger.info("where", stack_info=True)
        assert "test_the_stack" in log.text()
        record = logging.makeLogRecord({"msg": "x", "stack_info": "Stack: hunter2"})
        assert KeyFilter(lambda: log.keys).filter(record)
        assert record.stack_info == "Stack: [key]"

    @pytest.mark.parametrize("arguments", [("hunter2", "hunter2"), (Spiteful(),)], ids=["too many", "spiteful"])
    def test_arguments_that_do_not_fit_write_nothing_raw(
        self, log: Log, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]
    ) -> None:
        log.logger.info("one %s", *arguments)
        assert log.text() == "one %s (its arguments do not fit it)\n"
        assert capsys.readouterr().err == ""

    def test_a_key_found_later_is_masked_from_then_on(self, log: Log) -> None:
        log.keys.append("swordfish")
        log.logger.info("swordfish")
        assert log.text() == "[key]\n"

    def test_other_records_stay_as_they_are(self, log: Log) -> None:
        log.logger.warning("%d requests in %.1f s", 3, 2.5)
        assert log.text() == "3 requests in 2.5 s\n"
