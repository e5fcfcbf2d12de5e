"""The commands, their output and their exit codes: 0 done, 1 failed, 2 wrong usage; errors are one line on stderr."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import mistral_wire as wire
from support.api_server import Answer, ScriptedApi
from support.lsp_client import LIMIT, SERVER, LspClient, Run, private_environment, write_config

from codestral_ls import __version__

SOURCE = "def add(a, b):\n    return \n\nprint(add(1, 2))\n"
NOWHERE = "http://127.0.0.1:9"


def assert_failed(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Nothing on stdout, and one line on stderr that has the words."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("codestral-ls: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_version_and_help(run: Run) -> None:
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"codestral-ls {__version__}\n")
    for flag in ("-h", "--help"):
        shown = run(flag)
        assert shown.returncode == 0
        for command in ("serve", "complete", "demo", "doctor", "config"):
            assert command in shown.stdout
    assert "FILE:LINE:COLUMN" in run("complete", "-h").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("unheard-of",),
        ("complete",),
        ("complete", "a.py"),
        ("complete", "a.py:1"),
        ("complete", "a.py:one:1"),
        ("complete", ":1:1"),
        ("complete", "a.py:0:1"),
        ("complete", "a.py:1:0"),
        ("complete", "a.py:-1:1"),
        ("complete", "a.py:1:1", "--colour"),
        ("complete", f"a.py:{'9' * 5000}:1"),
        ("--tcp",),
        ("--tcp", "8080"),
        ("--tcp", "127.0.0.1:99999"),
        ("--tcp", "127.0.0.1:http"),
        ("--tcp", f"127.0.0.1:{'9' * 5000}"),
        ("--tcp", "0.0.0.0:0"),
        ("--tcp", "[::]:0"),
        ("serve", "--tcp", "192.0.2.1:4000"),
        ("--log-level", "loud"),
        ("doctor", "--yaml"),
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_wrong_usage_is_2_and_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    assert_failed(run(*arguments), 2)


# complete


def test_complete_prints_what_the_api_says_to_the_text_round_the_cursor(run: Run, api: ScriptedApi, work: Path) -> None:
    (work / "a.py").write_text(SOURCE)
    api.script = Answer("a + b")
    result = run("complete", "a.py:2:12")
    assert (result.returncode, result.stdout, result.stderr) == (0, "a + b\n", "")
    (request,) = api.completions
    assert (request.prompt, request.suffix) == ("def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n")


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"x = \n", 1, 5),
        (b"a = 1\r\nx = \r\nb = 2\r\n", 2, 5),
        ("\ufeffs = '\U0001f600'; x = \n".encode(), 1, 14),
        ("a\x0c\u2028 = 1\nx = \n".encode(), 2, 5),
        (b"", 1, 1),
        (b"x = 1\n", 2, 1),
    ],
    ids=["lf", "crlf", "bom and astral", "form feed", "empty", "last line"],
)
def test_complete_counts_lines_and_characters(
    run: Run, api: ScriptedApi, work: Path, data: bytes, line: int, column: int
) -> None:
    (work / "a.py").write_bytes(data)
    api.script = Answer("value")
    assert run("complete", f"a.py:{line}:{column}").stdout == "value\n"
    text = data.decode("utf-8-sig")
    lines = text.replace("\r\n", "\n").split("\n")
    before = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1]])
    request = api.completions[0]
    assert request.prompt + request.suffix == text
    assert request.prompt.replace("\r\n", "\n") == before


def test_complete_as_json_tells_all(run: Run, api: ScriptedApi, work: Path) -> None:
    (work / "a.py").write_text(SOURCE)
    api.script = Answer("a + b")
    result = run("complete", "--json", "a.py:2:12")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert report["text"] == "a + b"
    assert report["why"] is None
    assert report["error"] is None
    assert report["sandbox"] is False
    assert report["host"] == api.url
    assert report["request"]["prompt"] == "def add(a, b):\n    return "
    assert report["request"]["suffix"] == "\n\nprint(add(1, 2))\n"
    assert report["request"]["model"] == "codestral-latest"
    assert report["timing_ms"]["first_text"] <= report["timing_ms"]["total"]
    assert report["tokens"]["completion"] == 2
    assert api.key not in result.stdout


def test_complete_without_a_completion_is_1_also_as_json(run: Run, api: ScriptedApi, work: Path) -> None:
    (work / "a.py").write_text(SOURCE)
    assert_failed(run("complete", "a.py:2:12"), 1, "nothing to add")
    api.script = wire.NOT_IN_PLAN
    result = run("complete", "--json", "a.py:2:12")
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"] == "not-in-plan"
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing.py:1:1", ["missing.py", "No such file"]),
        (".:1:1", ["Is a directory"]),
        ("a.py:6:1", ["a.py", "5 lines", "6"]),
        ("a.py:2:13", ["line 2", "11 characters", "13"]),
        ("latin.py:1:1", ["latin.py", "not UTF-8", "byte 5"]),
        (".env:1:1", [".env", "excluded"]),
        ("keys/id_rsa:1:1", ["excluded"]),
    ],
)
def test_complete_says_what_is_wrong_with_the_place(
    run: Run, api: ScriptedApi, work: Path, place: str, words: list[str]
) -> None:
    (work / "a.py").write_text(SOURCE)
    (work / "latin.py").write_bytes(b"s = '\xe4'\n")
    (work / ".env").write_text("PASSWORD=\n")
    (work / "keys").mkdir()
    (work / "keys" / "id_rsa").write_text("-\n")
    assert_failed(run("complete", place), 1, *words)
    assert api.completions == []


def test_complete_says_what_is_wrong_with_the_api(run: Run, api: ScriptedApi, work: Path) -> None:
    (work / "a.py").write_text(SOURCE)
    assert_failed(run("complete", "a.py:2:12", CODESTRAL_LS_BASE_URL=NOWHERE), 1, "cannot be reached")
    wrong = run("complete", "a.py:2:12", MISTRAL_API_KEY="a-wrong-key-9876")
    assert_failed(wrong, 1, "refuses the API key", "MISTRAL_API_KEY")
    assert "a-wrong-key" not in wrong.stderr
    none = run("complete", "a.py:2:12", MISTRAL_API_KEY=None, CODESTRAL_LS_BASE_URL=None)
    assert_failed(none, 1, "no API key")


def test_a_source_of_keys_that_fails_is_named(run: Run, work: Path) -> None:
    (work / "a.py").write_text(SOURCE)
    variables = {
        "MISTRAL_API_KEY": None,
        "CODESTRAL_LS_BASE_URL": None,
        "CODESTRAL_LS_API_KEY_COMMAND": '["false", "a-secret-argument"]',
    }
    assert_failed(run("complete", "a.py:2:12", **variables), 1, "api_key_command `false`", "exit status 1")
    shown = run("config", **variables)
    assert shown.returncode == 1
    assert "api_key_command `false`" in shown.stderr
    assert "a-secret-argument" not in shown.stdout + shown.stderr


def test_complete_asks_the_sandbox_and_says_so(run: Run, work: Path) -> None:
    (work / "a.py").write_text("def add(a, b):\n    return a + b\n\n\ndef add(a, b):\n    return ")
    result = run("complete", "a.py:6:12", CODESTRAL_LS_BASE_URL="sandbox:", MISTRAL_API_KEY=None)
    assert result.returncode == 0, result.stderr
    assert "a + b" in result.stdout
    assert "sandbox, not from Codestral" in result.stderr


def test_complete_writes_to_any_terminal(run: Run, api: ScriptedApi, work: Path) -> None:
    (work / "a.py").write_text("x = \n")
    api.script = Answer("'\U0001f600'")
    result = run("complete", "a.py:1:5", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "'\\U0001f600'\n"


# config and doctor


def test_config_shows_each_setting_with_its_source_and_no_key(run: Run, tmp_path: Path, work: Path) -> None:
    write_config(tmp_path, 'fim_model = "codestral-2508"\napi_key = "a-key-in-the-config"\n')
    (work / ".codestral.toml").write_text("max_tokens = 99\n")
    result = run("config", CODESTRAL_LS_TEMPERATURE="0.5", MISTRAL_API_KEY=None)
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "codestral-2508" in rows["fim_model"]
    assert "config.toml" in rows["fim_model"]
    assert "99" in rows["max_tokens"]
    assert ".codestral.toml" in rows["max_tokens"]
    assert "0.5" in rows["temperature"]
    assert "CODESTRAL_LS_TEMPERATURE" in rows["temperature"]
    assert rows["debounce_ms"].endswith("default")
    assert "set" in rows["api_key"]
    assert "a-key-in" not in result.stdout + result.stderr


def test_config_is_1_with_a_line_for_each_thing_that_is_wrong(run: Run, tmp_path: Path) -> None:
    write_config(tmp_path, "temperature = 7\nunheard_of = 1\n")
    result = run("config")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert "temperature" in result.stderr
    write_config(tmp_path, "temperature = 7 7\n")
    broken = run("config")
    assert broken.returncode == 1
    assert "line 1" in broken.stderr


def test_doctor_is_content_with_an_api_that_works(run: Run, api: ScriptedApi) -> None:
    api.script = Answer("a + b")
    result = run("doctor")
    assert result.returncode == 0, result.stdout
    assert "FAIL" not in result.stdout
    names = [line.split()[1].rstrip(":") for line in result.stdout.splitlines()]
    for name in ("python", "settings", "key", "host", "clock", "model", "editors", "folders"):
        assert name in names
    assert api.key not in result.stdout
    assert result.stderr == ""


def test_doctor_as_json(run: Run, api: ScriptedApi) -> None:
    api.script = Answer("a + b")
    result = run("doctor", "--json")
    assert result.returncode == 0
    checks = json.loads(result.stdout)
    assert {check["state"] for check in checks} <= {"ok", "note"}
    assert all(check.keys() == {"name", "state", "text"} for check in checks)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CODESTRAL_LS_BASE_URL": NOWHERE}, ["FAIL", "cannot be reached"]),
        ({"MISTRAL_API_KEY": "a-wrong-key-9876"}, ["FAIL", "refuses the API key"]),
        ({"CODESTRAL_LS_FIM_MODEL": "mistral-small-latest"}, ["FAIL", "does not complete code"]),
        ({"CODESTRAL_LS_TEMPERATURE": "hot"}, ["FAIL", "temperature"]),
        ({"MISTRAL_API_KEY": None, "CODESTRAL_LS_BASE_URL": None}, ["FAIL", "MISTRAL_API_KEY"]),
    ],
    ids=["unreachable", "wrong key", "model", "setting", "no key"],
)
def test_doctor_is_1_when_something_fails(
    run: Run, api: ScriptedApi, variables: dict[str, str | None], words: list[str]
) -> None:
    api.script = Answer("a + b")
    result = run("doctor", **variables)
    assert result.returncode == 1
    for word in words:
        assert word in result.stdout
    assert "a-wrong-key" not in result.stdout
    assert result.stderr == ""
    as_json = run("doctor", "--json", **variables)
    assert as_json.returncode == 1
    assert any(check["state"] == "failed" for check in json.loads(as_json.stdout))


# serve


def test_serve_is_what_comes_without_a_command(tmp_path: Path) -> None:
    for arguments in ((), ("--stdio",), ("serve", "--stdio")):
        with LspClient(tmp_path, {"CODESTRAL_LS_BASE_URL": NOWHERE}, arguments=arguments) as client:
            assert "capabilities" in client.initialize()
            assert client.shut_down() == 0


def test_serve_on_tcp_serves_one_client_on_the_loopback(tmp_path: Path) -> None:
    with LspClient(tmp_path, {"CODESTRAL_LS_BASE_URL": NOWHERE}, arguments=("serve",), tcp=True) as client:
        assert "capabilities" in client.initialize()
        port = int(client.stderr.rpartition(":")[2])
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 5).close()
        assert client.shut_down() == 0
        assert client.stderr.count("\n") == 1


def test_serve_says_where_it_cannot_listen(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_failed(run("--tcp", place), 1, place, "in use")


def test_serve_logs_to_a_file_of_the_users_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    arguments = ("serve", "--log-file", str(log), "--log-level", "info")
    with LspClient(tmp_path, {"CODESTRAL_LS_BASE_URL": NOWHERE}, arguments=arguments) as client:
        client.initialize()
        client.complete("file:///never.py", 0, 0)
        client.send_bytes(b"Content-Length: 1\r\n\r\n{")
        client.settle()
        assert client.shut_down() == 0
        assert client.stderr == ""
    text = log.read_text()
    assert "not open" in text
    assert "not JSON" in text
    if os.name == "posix":
        assert log.stat().st_mode & 0o777 == 0o600


def test_serve_says_that_it_cannot_log(run: Run, work: Path) -> None:
    assert_failed(run("--log-file", str(work)), 1, str(work))
    assert_failed(run("--trace-file", str(work)), 1, str(work))


# The ends of pipes


@pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors as a POSIX shell does")
@pytest.mark.parametrize("command", ["config", "--version", "-h", "complete a.py:1:5"])
@pytest.mark.parametrize("redirection", ["| true", "| head -c 1", ">&-"])
def test_a_reader_that_goes_is_no_traceback(
    tmp_path: Path, work: Path, api: ScriptedApi, command: str, redirection: str
) -> None:
    (work / "a.py").write_text("x = \n")
    api.script = Answer("1")
    environment = private_environment(tmp_path, {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url})
    result = subprocess.run(
        ["sh", "-c", f'"$0" -m codestral_ls {command} {redirection}', sys.executable],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env=environment,
        cwd=work,
        timeout=LIMIT,
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr
    assert "BrokenPipe" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_one_line(tmp_path: Path, work: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*SERVER, "config"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=private_environment(tmp_path),
            cwd=work,
            timeout=LIMIT,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("codestral-ls: cannot write the output")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors as a POSIX shell does")
def test_serve_without_an_input_ends(tmp_path: Path, work: Path) -> None:
    result = subprocess.run(
        ["sh", "-c", '"$0" -m codestral_ls serve <&-', sys.executable],
        capture_output=True,
        encoding="utf-8",
        env=private_environment(tmp_path),
        cwd=work,
        timeout=LIMIT,
        check=False,
    )
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr


# demo


def test_demo_types_plainly_where_there_is_no_terminal(run: Run) -> None:
    result = run("demo", MISTRAL_API_KEY=None, CODESTRAL_LS_BASE_URL=None)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "sandbox" in result.stdout
    closing = result.stdout.strip().splitlines()[-2:]
    assert any("suggestions" in line and "accepted" in line for line in closing), result.stdout
    shown = int(next(line for line in closing if "suggestions" in line).split()[0])
    assert shown >= 1


def test_demo_refuses_a_place_that_is_none(run: Run, work: Path) -> None:
    (work / "a.py").write_text("\n\n")
    assert_failed(run("demo", "nonsense"), 2, "FILE:LINE")
    assert_failed(run("demo", "missing.py:1"), 1, "missing.py")
    assert_failed(run("demo", "a.py:1"), 1, "no text")
