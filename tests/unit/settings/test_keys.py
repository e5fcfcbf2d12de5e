"""Where keys are looked for, in which order, and what counts as one."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codestral_ls.settings import Key, KeyRing, KeySearch, Loaded, find_key, load
from codestral_ls.settings.keys import UnusableKey, clean_key

PATH = os.environ.get("PATH", os.defpath)


def printing(code: str) -> str:
    """An `api_key_command` line of TOML that runs this Python."""
    return f"api_key_command = [{sys.executable!r}, '-c', '''{code}''']"


def say(key: str) -> str:
    return printing(f'print("{key}")')


class Desk:
    """A workspace, a working folder, an environment and a user file, each empty at first."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.cwd, self.config = root / "workspace", root / "cwd", root / "config.toml"
        self.workspace.mkdir()
        self.cwd.mkdir()
        self.environment = {"PATH": PATH}
        self.editor: dict[str, object] = {}

    def load(self) -> Loaded:
        return load(
            environment=self.environment,
            user_config=self.config,
            editor=self.editor,
            workspace_root=self.workspace,
        )

    def find(self, **options: Any) -> KeySearch:
        return find_key(
            self.load(), environment=self.environment, workspace_root=self.workspace, cwd=self.cwd, **options
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def put_in_keyring(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def get_password(service: str, user: str) -> object:
        asked.append((service, user))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=get_password))
    return asked


def test_sources_come_in_the_documented_order(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are filled; then the one that won is taken away, and so on down to none."""
    put_in_keyring(monkeypatch, "key-of-keyring")
    desk.config.write_text(say("key-of-command"))
    (desk.cwd / ".env").write_text("CODESTRAL_API_KEY=key-of-cwd-2\nMISTRAL_API_KEY=key-of-cwd")
    (desk.workspace / ".env").write_text("CODESTRAL_API_KEY=key-of-root-2\nMISTRAL_API_KEY=key-of-root")
    desk.environment |= {
        "CODESTRAL_API_KEY": "key-of-codestral",
        "MISTRAL_API_KEY": "key-of-mistral",
        "CODESTRAL_LS_API_KEY": "key-of-setting",
    }
    desk.editor["apiKey"] = "key-of-editor"
    (desk.workspace / ".codestral.toml").write_text('api_key = "key-of-attacker"')

    python = os.path.basename(sys.executable)
    order = [
        ("key-of-editor", "editor settings", lambda: desk.editor.clear()),
        (
            "key-of-setting",
            "environment variable CODESTRAL_LS_API_KEY",
            lambda: desk.environment.pop("CODESTRAL_LS_API_KEY"),
        ),
        (
            "key-of-mistral",
            "environment variable MISTRAL_API_KEY",
            lambda: desk.environment.pop("MISTRAL_API_KEY"),
        ),
        (
            "key-of-codestral",
            "environment variable CODESTRAL_API_KEY",
            lambda: desk.environment.pop("CODESTRAL_API_KEY"),
        ),
        (
            "key-of-root",
            f"MISTRAL_API_KEY in {desk.workspace / '.env'}",
            lambda: (desk.workspace / ".env").write_text("CODESTRAL_API_KEY=key-of-root-2"),
        ),
        (
            "key-of-root-2",
            f"CODESTRAL_API_KEY in {desk.workspace / '.env'}",
            lambda: (desk.workspace / ".env").unlink(),
        ),
        ("key-of-cwd", f"MISTRAL_API_KEY in {desk.cwd / '.env'}", lambda: (desk.cwd / ".env").unlink()),
        ("key-of-command", f"api_key_command `{python}`", lambda: desk.config.unlink()),
        ("key-of-keyring", "system keyring", lambda: put_in_keyring(monkeypatch, None)),
    ]
    for value, source, take_away in order:
        assert desk.find() == KeySearch(Key(value, source))
        take_away()
    assert desk.find() == KeySearch(None)


def test_a_key_of_the_user_file(desk: Desk) -> None:
    desk.config.write_text('api_key = "key-of-file"')
    assert desk.find().key == Key("key-of-file", f"user config {desk.config}")


def test_nothing_is_asked_once_a_key_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = put_in_keyring(monkeypatch, "key-of-keyring")
    trace = tmp_path / "ran"
    desk.config.write_text(printing(f'open("{trace}", "w").close()'))
    desk.environment["MISTRAL_API_KEY"] = "key-of-mistral"
    assert desk.find().key
    assert not trace.exists()
    assert asked == []


def test_neither_repr_nor_str_shows_a_key() -> None:
    key = Key("hunter2", "editor settings")
    for text in (repr(key), str(key), f"{key}", repr(KeySearch(key)), "%s" % key):  # noqa: UP031
        assert "hunter2" not in text
        assert "editor settings" in text


class TestCleaning:
    @pytest.mark.parametrize(
        "text",
        [
            "abc123",
            "  abc123\n",
            '"abc123"',
            "' abc123 '",
            "Bearer abc123",
            "bearer  abc123",
            '"Bearer abc123"',
            'Bearer "abc123"',
            "\ufeffabc123\r\n",
        ],
    )
    def test_what_stands_round_a_key_is_taken_off(self, text: str) -> None:
        assert clean_key(text) == "abc123"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "  ",
            '""',
            "Bearer ",
            "your-api-key",
            "your_api_key_here",
            "YOUR API KEY",
            "<your key>",
            "<MISTRAL_API_KEY>",
            "${MISTRAL_API_KEY}",
            "$MISTRAL_API_KEY",
            "${env:MISTRAL_API_KEY}",
            "%MISTRAL_API_KEY%",
            "{{ mistral_key }}",
            "MISTRAL_API_KEY",
            "xxxxxxxx",
            "...",
            "****",
            "changeme",
            "change-me",
            "replace_me",
            "replace with your key",
            "insert-key-here",
            "none",
            "null",
            "TODO",
        ],
    )
    def test_placeholders_count_as_none(self, text: str) -> None:
        assert clean_key(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            "test-key-0123456789abcdef",
            "sk-your0123",
            "nonebutthis",
            "xX0123",
            "keyring-0a",
            "tokenized",
            "todo1",
            "change0123",
            "a$b",
            "dummy",
            "EMPTY",
            "a" * 2000,
        ],
    )
    def test_what_only_resembles_a_placeholder_is_a_key(self, text: str) -> None:
        assert clean_key(text) == text

    @pytest.mark.parametrize(
        "text", ["abc def", "abc\ndef", "abc\r\nX-Evil: 1", "abc\tdef", "clé", "abc\x00", "abc\u200b", "a" * 8001]
    )
    def test_what_cannot_stand_in_a_header_is_refused_and_not_repeated(self, text: str) -> None:
        with pytest.raises(UnusableKey) as refusal:
            clean_key(text)
        assert text not in str(refusal.value)
        assert "abc" not in str(refusal.value)

    def test_an_unusable_key_is_a_problem_and_the_next_source_applies(self, desk: Desk) -> None:
        desk.editor["apiKey"] = "hunter2\r\nX-Evil: 1"
        desk.environment |= {"MISTRAL_API_KEY": "your-api-key", "CODESTRAL_API_KEY": "real"}
        found = desk.find()
        assert found.key == Key("real", "environment variable CODESTRAL_API_KEY")
        [problem] = found.problems
        assert problem.level == "error"
        assert problem.message.startswith("API key from editor settings: ")
        assert "hunter2" not in problem.message


class TestEnvFile:
    def test_only_the_two_names_are_read(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        before = dict(os.environ)
        (desk.workspace / ".env").write_text(
            "CODESTRAL_LS_BASE_URL=https://evil.example\nCODESTRAL_LS_API_KEY=evil\nHTTPS_PROXY=http://evil.example\n"
            "CODESTRAL_LS_API_KEY_COMMAND=['evil']\nOPENAI_API_KEY=other\nMISTRAL_API_KEY=real\n"
        )
        assert desk.find().key == Key("real", f"MISTRAL_API_KEY in {desk.workspace / '.env'}")
        assert desk.load().settings.base_url == "auto"
        assert dict(os.environ) == before

    def test_nothing_is_interpolated(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTHER_SECRET", "hunter2")
        (desk.workspace / ".env").write_text("MISTRAL_API_KEY=pre-${OTHER_SECRET}\n")
        found = desk.find().key
        assert found is not None
        assert found.value == "pre-${OTHER_SECRET}"

    @pytest.mark.parametrize(
        "line",
        [
            "MISTRAL_API_KEY=real",
            "export MISTRAL_API_KEY='real'",
            'MISTRAL_API_KEY="real" # mine',
            "\ufeffMISTRAL_API_KEY=real",
            "A=b\r\nMISTRAL_API_KEY=real\r\n",
            "# caf\xe9\nMISTRAL_API_KEY=real",
        ],
    )
    def test_its_usual_spellings(self, desk: Desk, line: str) -> None:
        (desk.workspace / ".env").write_bytes(line.encode("latin-1" if "\xe9" in line else "utf-8"))
        found = desk.find().key
        assert found is not None
        assert found.value == "real"

    def test_a_virtual_environment_of_that_name_is_passed_over(self, desk: Desk) -> None:
        (desk.workspace / ".env").mkdir()
        assert desk.find() == KeySearch(None)

    def test_a_huge_one_is_not_read(self, desk: Desk) -> None:
        desk.cwd = desk.workspace
        (desk.workspace / ".env").write_text("MISTRAL_API_KEY=real\n" + "#" * 300_000)
        found = desk.find()
        assert found.key is None
        [problem] = found.problems
        assert "is larger than" in problem.message
        assert str(desk.workspace / ".env") in problem.message

    def test_without_folders_none_is_looked_for(self, desk: Desk) -> None:
        (desk.cwd / ".env").write_text("MISTRAL_API_KEY=real")
        assert find_key(desk.load(), environment={}, workspace_root=None, cwd=None).key is None


class TestCommand:
    @pytest.mark.parametrize(
        ("line", "how"),
        [
            (printing('import sys; print("hunter2"); sys.exit("hunter2")'), "exit status 1"),
            (printing("pass"), "printed nothing"),
            (printing('print("hunter2" * 20000)'), "far more than a key"),
            (printing('print("hunter2"); print("hunter2")'), "more than one line"),
            ("api_key_command = ['no-such-command-here', 'hunter2']", "not found in PATH"),
            ("api_key_command = ['/no/such/command', 'hunter2']", "could not be started"),
            ("api_key_command = ['./tool', 'hunter2']", "relative path"),
            ("api_key_command = ['scripts/tool', 'hunter2']", "relative path"),
        ],
    )
    def test_a_failure_says_which_command_and_how_but_not_what_it_printed(
        self, desk: Desk, capfd: pytest.CaptureFixture[str], line: str, how: str
    ) -> None:
        desk.config.write_text(line)
        found = desk.find()
        assert capfd.readouterr() == ("", "")
        assert found.key is None
        [problem] = found.problems
        command = os.path.basename(desk.load().settings.api_key_command[0])
        assert f"api_key_command `{command}`" in problem.message
        assert how in problem.message
        assert "hunter2" not in problem.message

    def test_a_command_that_hangs_is_ended(self, desk: Desk, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        desk.config.write_text(printing(f'import os, time; open("{pid}", "w").write(str(os.getpid())); time.sleep(60)'))
        found = desk.find(command_timeout_s=1.0)
        [problem] = found.problems
        assert "did not end within 1 seconds" in problem.message
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    @pytest.mark.skipif(os.name != "posix", reason="a shell and a named pipe")
    def test_a_child_that_holds_the_output_is_ended_too(self, desk: Desk, tmp_path: Path) -> None:
        sign_of_life = tmp_path / "pipe"
        os.mkfifo(sign_of_life)
        reading = os.open(sign_of_life, os.O_RDONLY | os.O_NONBLOCK)
        try:
            line = f"sleep 60 3> {sign_of_life} & echo hunter2"
            desk.config.write_text(f"api_key_command = ['sh', '-c', '{line}']")
            [problem] = desk.find(command_timeout_s=0.5).problems
            assert "left its output open" in problem.message
            # Readable, with nothing to read: the last process that held the pipe is gone.
            assert select.select([reading], [], [], 10)[0]
            assert os.read(reading, 1) == b""
        finally:
            os.close(reading)

    def test_no_shell_reads_the_arguments(self, desk: Desk) -> None:
        code = "import sys; print(sys.argv[1].count(chr(36)))"
        desk.config.write_text(f"api_key_command = [{sys.executable!r}, '-c', '{code}', '$HOME;$(id)']")
        found = desk.find().key
        assert found is not None
        assert found.value == "2"

    def test_a_command_of_the_working_folder_is_not_run(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        tool = desk.cwd / "planted"
        tool.write_text("#!/bin/sh\necho planted-key\n")
        tool.chmod(0o755)
        monkeypatch.chdir(desk.cwd)
        desk.config.write_text("api_key_command = ['planted']")
        desk.environment["PATH"] = os.pathsep.join(["", ".", PATH])
        assert desk.find().key is None
        real = desk.workspace / "planted"
        real.write_text("#!/bin/sh\necho real-key\n")
        real.chmod(0o755)
        desk.environment["PATH"] = os.pathsep.join(["", ".", str(desk.workspace), PATH])
        found = desk.find().key
        assert found is not None
        assert found.value == "real-key"
        desk.environment["PATH"] = os.pathsep.join([str(desk.cwd), PATH])
        found = desk.find().key
        assert found is not None
        assert found.value == "planted-key"

    def test_it_does_not_run_in_the_working_folder(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(desk.cwd)
        desk.config.write_text(printing("import os; print(os.getcwd())"))
        found = desk.find().key
        assert found is not None
        assert Path(found.value) != desk.cwd


class TestSystemKeyring:
    def test_it_is_asked_for_our_entry(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = put_in_keyring(monkeypatch, " key-of-keyring ")
        found = desk.find().key
        assert found == Key("key-of-keyring", "system keyring")
        assert asked == [("codestral-ls", "api_key")]

    @pytest.mark.parametrize("answer", [None, RuntimeError("locked: hunter2"), 5])
    def test_whatever_fails_there_is_no_key_and_no_fuss(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: object
    ) -> None:
        asked = put_in_keyring(monkeypatch, answer)
        assert desk.find() == KeySearch(None)
        assert len(asked) == 1


class TestKeyRing:
    def ring(self, desk: Desk) -> KeyRing:
        return KeyRing(desk.load, environment=desk.environment, workspace_root=desk.workspace, cwd=desk.cwd)

    def test_it_holds_no_key_before_it_has_looked(self, desk: Desk) -> None:
        desk.environment["MISTRAL_API_KEY"] = "first"
        ring = self.ring(desk)
        assert ring.key is None
        assert ring.reload() == ring.key == Key("first", "environment variable MISTRAL_API_KEY")

    @pytest.mark.parametrize("place", ["user file", "env file", "command"])
    def test_a_rotated_key_is_seen_and_the_old_one_still_masked(self, desk: Desk, place: str) -> None:
        def write(value: str) -> None:
            if place == "env file":
                (desk.workspace / ".env").write_text(f"MISTRAL_API_KEY={value}")
            else:
                desk.config.write_text(f'api_key = "{value}"' if place == "user file" else say(value))

        ring = self.ring(desk)
        for value in ("first-key", "second-key"):
            write(value)
            ring.reload()
            assert ring.key is not None
            assert ring.key.value == value
        assert ring.known() == ("first-key", "second-key")
        assert ring.mask("first-key and second-key") == "[key] and [key]"

    def test_a_key_that_went_away_is_none(self, desk: Desk) -> None:
        (desk.workspace / ".env").write_text("MISTRAL_API_KEY=first")
        ring = self.ring(desk)
        ring.reload()
        (desk.workspace / ".env").unlink()
        assert ring.reload() is None
        assert ring.key is None

    def test_problems_are_those_of_the_last_look(self, desk: Desk) -> None:
        desk.editor["apiKey"] = "a b"
        ring = self.ring(desk)
        ring.reload()
        assert len(ring.problems) == 1
        desk.editor["apiKey"] = "ab"
        ring.reload()
        assert ring.problems == ()
