"""Started in a folder that has been deleted: a terminal of yesterday, a build folder that was made anew."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.api_server import Answer, ScriptedApi
from support.lsp_client import LIMIT, frame, inline_params, notification, private_environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted there")

START = """
import os, sys
os.chdir(sys.argv[1])
os.rmdir(sys.argv[1])
from codestral_ls.cli import main
sys.exit(main(sys.argv[2:]))
"""


def run_in_deleted_folder(
    home: Path, api: ScriptedApi, *arguments: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    folder = home / "deleted"
    folder.mkdir()
    variables = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url}
    return subprocess.run(
        # Isolated, as the installed command is: with the working folder on its path, Python 3.13.0 itself fails there.
        [sys.executable, "-I", "-c", START, str(folder), *arguments],
        input=given,
        capture_output=True,
        env=private_environment(home, variables),
        timeout=2 * LIMIT,
        check=False,
    )


@pytest.mark.parametrize("command", ["config", "doctor"])
def test_a_command_works(tmp_path: Path, api: ScriptedApi, command: str) -> None:
    api.script = Answer("a + b")
    done = run_in_deleted_folder(tmp_path, api, command)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0
    assert api.url.encode() in done.stdout or b"completes code" in done.stdout


def test_a_file_is_completed(tmp_path: Path, api: ScriptedApi) -> None:
    api.script = Answer("1")
    file = tmp_path / "a.py"
    file.write_text("x = \n")
    done = run_in_deleted_folder(tmp_path, api, "complete", f"{file}:1:5")
    assert b"Traceback" not in done.stderr
    assert done.stdout.strip() == b"1"


def test_the_server_answers(tmp_path: Path, api: ScriptedApi) -> None:
    params = {"processId": None, "rootUri": None, "capabilities": {"textDocument": {"inlineCompletion": {}}}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params},
        notification("initialized", {}),
        {"jsonrpc": "2.0", "id": 2, "method": "textDocument/inlineCompletion", "params": inline_params("x:", 0, 0)},
        {"jsonrpc": "2.0", "id": 3, "method": "shutdown"},
        notification("exit"),
    ]
    given = b"".join(frame(message) for message in messages)
    done = run_in_deleted_folder(tmp_path, api, given=given)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0
    assert json.dumps("codestral-ls").encode() in done.stdout
