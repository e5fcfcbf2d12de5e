"""Drives a real Neovim: over its API for exact questions, or in a terminal for what a user sees."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pynvim  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = REPOSITORY / "editors" / "neovim"
SERVER = Path(sys.executable).parent / "codestral-ls"
TEE = Path(__file__).with_name("lsp_tee.py")

LIMIT = 20.0  # seconds that any wait may last; nothing is expected to need them
POLL = 0.02  # seconds

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], limit: float = LIMIT) -> T:
    """Polls until `probe` gives something true, and returns it. Raises AssertionError after `limit` seconds."""
    end = time.monotonic() + limit
    while not (value := probe()):
        assert time.monotonic() < end, f"{what}: not within {limit:g} s"
        time.sleep(POLL)
    return value


@dataclass(frozen=True)
class Program:
    """A Neovim that is new enough, and the runtime files that belong to it where it does not find them itself."""

    path: Path
    runtime: Path | None


def find_neovim() -> Program | None:
    """The Neovim that `make editors` fetched, or one on PATH; None if there is none of 0.12 or later."""
    fetched = REPOSITORY / ".editors" / "nvim-root" / "usr"
    on_path = shutil.which("nvim")
    candidates = [Program(fetched / "bin" / "nvim", fetched / "share" / "nvim" / "runtime")]
    if on_path:
        candidates.append(Program(Path(on_path), None))
    return next((program for program in candidates if _version(program.path) >= (0, 12)), None)


def _version(path: Path) -> tuple[int, int]:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.match(r"NVIM v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True)
class Sandbox:
    """A home of its own for one run: the editor and the server read and write nothing outside of it."""

    work: Path
    program: Program
    variables: dict[str, str]  # for the server, over what every program needs

    @property
    def trace(self) -> Path:
        return self.work / "trace.jsonl"

    @property
    def lsp_log(self) -> Path:
        return self.work / "state" / "nvim" / "lsp.log"

    @property
    def server_command(self) -> list[str]:
        return [sys.executable, str(TEE), str(self.trace), "--", str(SERVER)]

    def environment(self) -> dict[str, str]:
        home = {f"XDG_{kind.upper()}_HOME": str(self.work / kind) for kind in ("config", "data", "state", "cache")}
        runtime = {"VIMRUNTIME": str(self.program.runtime)} if self.program.runtime else {}
        return {
            "PATH": f"{SERVER.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.work),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            **home,
            **runtime,
            **self.variables,
        }

    def write_init(self, lua: str) -> Path:
        """Writes the configuration; in it, `command` is the server's command line and `plugin` our plugin's folder."""
        path = self.work / "init.lua"
        head = (
            f"local command = vim.json.decode [==[{json.dumps(self.server_command)}]==]\n"
            f"local plugin = [==[{PLUGIN}]==]\n"
            "vim.g.loaded_python3_provider = 0\n"  # the ftplugin for Python looks for it, which takes a second
            "vim.o.shada = ''\n"
            "vim.o.more = false\n"
        )
        path.write_text(head + lua, encoding="utf-8")
        return path

    def messages(self) -> list[dict[str, Any]]:
        """The JSON-RPC trace so far, as the tee wrote it."""
        if not self.trace.exists():
            return []
        lines = self.trace.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


class Neovim:
    """A Neovim without a terminal, asked and typed to over its API."""

    def __init__(self, sandbox: Sandbox, init: str) -> None:
        self.sandbox = sandbox
        variables = [f"{name}={value}" for name, value in sandbox.environment().items()]
        program = [str(sandbox.program.path), "--embed", "--headless", "--clean", "-n"]
        argv = ["env", "-i", *variables, *program, "-u", str(sandbox.write_init(init))]
        self.nvim: Any = pynvim.attach("child", argv=argv)
        until("end of the start", lambda: self.lua("return vim.v.vim_did_enter == 1"))

    def open(self, path: Path) -> None:
        """Edits the file and waits until the server is ready for it."""
        self.nvim.command(f"edit {path}")
        self.wait_for_server()

    def wait_for_server(self) -> None:
        until(
            "language server",
            lambda: self.lua("""
                local client = vim.lsp.get_clients({ bufnr = 0, name = 'codestral' })[1]
                return client ~= nil and client.initialized == true
            """),
        )

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def type(self, keys: str) -> None:
        """Types keys in Neovim's notation: `<Tab>`, `<lt>` for `<`."""
        self.nvim.input(keys)

    def ghost(self) -> str:
        """The ghost text in the buffer, as the editor has it drawn; empty if there is none."""
        text: str = self.lua("""
            local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
            local marks = namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {}
            local lines = {}
            for _, mark in ipairs(marks) do
              local function join(chunks)
                return vim.iter(chunks):map(function(chunk) return chunk[1] end):join ''
              end
              lines[#lines + 1] = join(mark[4].virt_text or {})
              for _, chunks in ipairs(mark[4].virt_lines or {}) do
                lines[#lines + 1] = join(chunks)
              end
            end
            return table.concat(lines, '\\n')
        """)
        return text

    def wait_for_ghost(self, text: str) -> None:
        until_equal("ghost text", self.ghost, text)

    def lines(self) -> list[str]:
        """The buffer."""
        return list(self.nvim.current.buffer[:])

    def wait_for_lines(self, *lines: str) -> None:
        until_equal("buffer", self.lines, list(lines))

    def wait_for_mode(self, mode: str) -> None:
        until(f"mode {mode}", lambda: self.nvim.api.get_mode()["mode"] == mode)

    def messages(self) -> str:
        """What `:messages` shows."""
        return str(self.nvim.command_output("messages"))

    def screen(self) -> str:
        """The screen, as a user would see it."""
        text: str = self.lua("""
            vim.cmd 'redraw'
            local rows = {}
            for row = 1, vim.o.lines do
              local cells = {}
              for column = 1, vim.o.columns do
                cells[column] = vim.fn.screenstring(row, column)
              end
              rows[row] = table.concat(cells):gsub('%s+$', '')
            end
            return table.concat(rows, '\\n')
        """)
        return text

    def inline_requests(self) -> int:
        """How many inline completion requests the editor has sent."""
        return len(self._inline_ids())

    def wait_for_answer_after(self, requests: int) -> list[dict[str, Any]]:
        """Waits until a request beyond the first `requests` was made and the last one is answered; gives its items."""
        until("another inline completion request", lambda: self.inline_requests() > requests)

        def answer() -> dict[str, Any] | None:
            last = self._inline_ids()[-1]
            answers = (entry["message"] for entry in self.sandbox.messages() if entry["way"] == "<")
            return next((answer for answer in answers if "method" not in answer and answer.get("id") == last), None)

        result = until("its answer", answer).get("result") or {}
        return list(result.get("items", []))

    def type_and_wait_for_answer(self, keys: str) -> list[dict[str, Any]]:
        """Types keys that move the cursor, waits for the request that follows, and gives the items of its answer."""
        requests = self.inline_requests()
        self.type(keys)
        return self.wait_for_answer_after(requests)

    def _inline_ids(self) -> list[int]:
        return [
            entry["message"]["id"]
            for entry in self.sandbox.messages()
            if entry["message"].get("method") == "textDocument/inlineCompletion"
        ]

    def close(self) -> None:
        """Ends the server, then the editor."""
        try:
            self.lua("vim.cmd.stopinsert() for _, client in ipairs(vim.lsp.get_clients()) do client:stop() end")
            until("end of the server", lambda: self.lua("return #vim.lsp.get_clients() == 0"))
            self.nvim.command("qall!")
        except (OSError, EOFError):
            pass  # Neovim has ended, which closes the channel in mid-answer
        finally:
            self.nvim.close()


def until_equal(what: str, probe: Callable[[], T], expected: T) -> None:
    """Polls until `probe` gives `expected`; the failure shows what it gave last."""
    last: list[T] = []

    def same() -> bool:
        last[:] = [probe()]
        return last[0] == expected

    try:
        until(what, same)
    except AssertionError:
        raise AssertionError(f"{what}: {last[0]!r} instead of {expected!r}") from None


class TerminalNeovim:
    """A Neovim in a terminal of its own (tmux), typed to as a user would, seen as on a screen."""

    def __init__(self, sandbox: Sandbox, init: str, path: Path) -> None:
        self._socket = sandbox.work / "tmux"
        program = [str(sandbox.program.path), "--clean", "-n", "-u", str(sandbox.write_init(init)), str(path)]
        terminal = ["new-session", "-d", "-x", "100", "-y", "24", "--", *program]
        subprocess.run([*self._tmux(), "-f", "/dev/null", *terminal], env=sandbox.environment(), check=True)
        self._run("set-option", "-g", "escape-time", "0")
        self._run("set-option", "-g", "remain-on-exit", "on")

    def _tmux(self) -> list[str]:
        return ["tmux", "-S", str(self._socket)]

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux(), *arguments], capture_output=True, text=True, check=True).stdout

    def type(self, text: str) -> None:
        """Types the text as it is."""
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Presses keys by tmux's names: `Tab`, `Escape`."""
        self._run("send-keys", *keys)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait_for(self, *texts: str) -> None:
        until(f"{texts} on the screen", lambda: all(text in self.screen() for text in texts))

    def close(self) -> None:
        subprocess.run([*self._tmux(), "kill-server"], capture_output=True, check=False)


StartNeovim = Callable[[str], Neovim]
"""Starts a Neovim with a configuration in Lua."""

StartTerminal = Callable[[str, Path], TerminalNeovim]
"""Starts a Neovim in a terminal, with a configuration in Lua, on a file."""
