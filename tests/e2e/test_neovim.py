"""What a user sees of codestral-ls in Neovim: the real editor, the real server process, a scripted API.
Both with our plugin and with the editor's own client alone, where that does not matter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import StartNeovim, StartTerminal, writes
from nvim_driver import LIMIT, Neovim, Sandbox, until
from support import mistral_wire as wire
from support.api_server import Answer, Request, ScriptedApi

pytestmark = pytest.mark.editor

PLUGIN = """
vim.opt.runtimepath:append(plugin)
require('codestral').setup { cmd = command, keymaps = true }
"""
PLAIN = """
vim.lsp.config('codestral', { cmd = command, root_markers = { '.git' } })
vim.lsp.enable 'codestral'
vim.lsp.inline_completion.enable()
vim.keymap.set('i', '<Tab>', function()
  if not vim.lsp.inline_completion.get() then
    return '<Tab>'
  end
end, { expr = true })
"""

SOURCE = "def add(a, b):\n    total\n    return total\n"
DONE = "def add(a, b):\n    total = a + b\n    return total\n"


@pytest.fixture(params=[PLUGIN, PLAIN], ids=["plugin", "plain"])
def editor(request: pytest.FixtureRequest, start_neovim: StartNeovim) -> Neovim:
    """Neovim with our plugin, and Neovim without."""
    return start_neovim(request.param)


@pytest.fixture
def plugin_editor(start_neovim: StartNeovim) -> Neovim:
    return start_neovim(PLUGIN)


def open_source(editor: Neovim, text: str = SOURCE, name: str = "a.py") -> Path:
    """Opens a file of that text, the cursor on its second line."""
    path = editor.sandbox.work / name
    path.write_bytes(text.encode())
    editor.open(path)
    editor.nvim.command("call cursor(2, 1)")
    return path


def test_ghost_text_appears_after_a_pause(editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(editor, SOURCE.replace("total\n", "tot\n", 1))
    editor.type("Aal")
    editor.wait_for_ghost(" = a + b")
    assert "    total = a + b" in editor.screen().splitlines()
    assert editor.lines()[1] == "    total"
    asked = api.completions[-1]
    assert (asked.prompt, asked.suffix) == ("def add(a, b):\n    total", "\n    return total\n")


def test_typing_along_keeps_the_ghost_without_another_api_request(editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(editor)
    editor.type("A")
    editor.wait_for_ghost(" = a + b")
    asked, requests = len(api.completions), editor.inline_requests()
    editor.type(" = a")
    editor.wait_for_ghost(" + b")
    editor.wait_for_answer_after(requests)
    assert editor.ghost() == " + b"
    assert len(api.completions) == asked


def test_typing_against_the_ghost_removes_it(editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(editor)
    editor.type("A")
    editor.wait_for_ghost(" = a + b")
    editor.type("ly")
    editor.wait_for_ghost("")
    assert editor.lines()[1] == "    totally"


def test_typing_against_the_ghost_removes_it_before_any_answer(plugin_editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(plugin_editor)
    plugin_editor.type("A")
    plugin_editor.wait_for_ghost(" = a + b")
    api.script = Answer("never", first_after=2 * LIMIT)
    plugin_editor.type("ly")
    plugin_editor.wait_for_ghost("")


def test_tab_accepts(editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(editor)
    editor.type("A")
    editor.wait_for_ghost(" = a + b")
    editor.type("<Tab>")
    editor.wait_for_lines(*DONE.splitlines())
    editor.type("  # sum<Esc>")
    editor.wait_for_lines("def add(a, b):", "    total = a + b  # sum", "    return total")


def test_tab_right_after_typing_along_doubles_nothing(plugin_editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(plugin_editor)
    plugin_editor.type("A")
    plugin_editor.wait_for_ghost(" = a + b")
    plugin_editor.type(" = <Tab>")
    plugin_editor.wait_for_lines(*DONE.splitlines())


def test_one_undo_takes_back_what_was_accepted(plugin_editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(plugin_editor)
    plugin_editor.type("A")
    plugin_editor.wait_for_ghost(" = a + b")
    plugin_editor.type(" =<Tab><Esc>")
    plugin_editor.wait_for_lines(*DONE.splitlines())
    plugin_editor.type("u")
    plugin_editor.wait_for_lines("def add(a, b):", "    total =", "    return total")


def test_tab_is_a_tab_where_there_is_no_ghost(editor: Neovim, api: ScriptedApi) -> None:
    api.script = Answer("")
    open_source(editor)
    editor.type("Ax<Tab>y")
    editor.wait_for_lines("def add(a, b):", "    totalx  y", "    return total")


def test_a_dismissed_ghost_is_gone_and_tab_a_tab_again(plugin_editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(DONE)
    open_source(plugin_editor)
    plugin_editor.type("A")
    plugin_editor.wait_for_ghost(" = a + b")
    plugin_editor.type("<C-]>")
    plugin_editor.wait_for_ghost("")
    plugin_editor.type("<Tab>|")
    plugin_editor.wait_for_lines("def add(a, b):", "    total   |", "    return total")


def test_a_ghost_of_several_lines(editor: Neovim, api: ScriptedApi) -> None:
    done = "def add(a, b):\n    total = a + b\n    return total\n\n\nprint(add(1, 2))\n"
    api.script = writes(done)
    open_source(editor, "def add(a, b):\n    \n\n\nprint(add(1, 2))\n")
    editor.type("A")
    editor.wait_for_ghost("total = a + b\n    return total")
    screen = editor.screen().splitlines()
    assert screen[:3] == ["def add(a, b):", "    total = a + b", "    return total"]
    editor.type("<Tab>")
    editor.wait_for_lines(*done.splitlines())


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_tabs_emoji_and_the_files_own_line_ends(editor: Neovim, api: ScriptedApi, line_end: str) -> None:
    """The API keeps to the document's line ends, or does not; the file does in either case."""
    before = "def greet(who):\r\n\tif who:\r\n\t\t"
    body = "word = '\N{GRINNING FACE} hé' + who" + line_end + "\t\treturn word"
    after = "\r\n\r\n\r\ngreet('\N{PARTY POPPER}')\r\n"

    def script(request: Request) -> Answer:
        at_the_place = request.prompt == before + "word = '\N{GRINNING FACE}" and request.suffix == after
        return Answer(body.removeprefix("word = '\N{GRINNING FACE}") if at_the_place else "")

    api.script = script
    path = open_source(editor, before + after)
    editor.lua("vim.bo.expandtab = false")
    editor.nvim.command("call cursor(3, 1)")
    editor.type("Aword = '\N{GRINNING FACE}")
    first = " hé' + who"
    shown = until("ghost text", editor.ghost)
    assert shown in (first, first + "\n\t\treturn word")  # one line or the block, as the engine decides
    editor.type("<Tab>")
    lines = [("\t\tword = '\N{GRINNING FACE}" + shown).split("\n")]
    editor.wait_for_lines("def greet(who):", "\tif who:", *lines[0], "", "", "greet('\N{PARTY POPPER}')")
    editor.type("<Esc>:write<CR>")
    written = before + "word = '\N{GRINNING FACE}" + shown.replace("\n", "\r\n") + after
    until("the file", lambda: path.read_bytes() == written.encode())


@pytest.mark.parametrize("key", ["<Esc>", "<C-c>"])
def test_leaving_insert_mode_ends_the_stream(plugin_editor: Neovim, api: ScriptedApi, key: str) -> None:
    leaving_ends_the_stream(plugin_editor, api, key)


def test_leaving_insert_mode_ends_the_stream_without_the_plugin(start_neovim: StartNeovim, api: ScriptedApi) -> None:
    leaving_ends_the_stream(start_neovim(PLAIN), api, "<Esc>")


def leaving_ends_the_stream(editor: Neovim, api: ScriptedApi, key: str) -> None:
    api.script = Answer("late", first_after=2 * LIMIT)
    open_source(editor)
    editor.type("A")
    until("a request to the API", lambda: api.completions)
    assert not api.completions[-1].hung_up.is_set()
    editor.type(key)
    editor.wait_for_mode("n")
    assert api.completions[-1].hung_up.wait(LIMIT)


def test_a_failing_api_is_said_once_and_the_next_answer_shows(editor: Neovim, api: ScriptedApi) -> None:
    api.script = wire.SERVER_ERROR
    open_source(editor)
    survives(editor, api, api.key)


def test_a_wrong_key_is_said_once_and_a_right_one_is_taken(editor_with_wrong_key: Neovim, api: ScriptedApi) -> None:
    open_source(editor_with_wrong_key)
    survives(editor_with_wrong_key, api, WRONG_KEY)


WRONG_KEY = "wrong-key-9876543210"


@pytest.fixture(params=[PLUGIN, PLAIN], ids=["plugin", "plain"])
def editor_with_wrong_key(request: pytest.FixtureRequest, sandbox: Sandbox, start_neovim: StartNeovim) -> Neovim:
    sandbox.variables["MISTRAL_API_KEY"] = WRONG_KEY
    return start_neovim(request.param)


def survives(editor: Neovim, api: ScriptedApi, key: str) -> None:
    """Types while the API fails, then while it answers."""
    editor.type("A")
    until("a message", lambda: said(editor))
    requests = editor.inline_requests()
    editor.type("ly")
    editor.wait_for_answer_after(requests)
    assert len(said(editor)) == 1, editor.messages()
    assert key not in editor.messages()

    api.key = key
    api.script = writes(DONE)
    editor.type("<BS><BS>")
    editor.wait_for_ghost(" = a + b")
    editor.type("<Tab>")
    editor.wait_for_lines(*DONE.splitlines())
    assert len(said(editor)) == 1, editor.messages()
    assert key not in editor.sandbox.lsp_log.read_text()
    for place in (editor.messages(), editor.sandbox.lsp_log.read_text()):
        assert "Traceback" not in place


def said(editor: Neovim) -> list[str]:
    return [line for line in editor.messages().splitlines() if "codestral" in line.lower()]


def test_a_user_at_a_terminal(start_terminal: StartTerminal, sandbox: Sandbox, api: ScriptedApi) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here: `apt-get install tmux`")
    api.script = writes(DONE)
    path = sandbox.work / "a.py"
    path.write_text(SOURCE)
    terminal = start_terminal(PLUGIN, path)
    terminal.wait_for("def add(a, b):")
    until(
        "language server",
        lambda: any(entry["way"] == "<" and entry["message"].get("id") == 1 for entry in sandbox.messages()),
    )
    terminal.type("jA")
    terminal.wait_for("    total = a + b", "-- INSERT --")
    terminal.type(" = ")
    terminal.press("Tab")
    terminal.press("Escape")
    terminal.type(":wq")
    terminal.press("Enter")
    until("the file", lambda: path.read_text() == DONE)
