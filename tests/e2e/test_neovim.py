"""What a user sees of codestral-ls in Neovim: the real editor, the real server process, a scripted API.
Both with our plugin and with the editor's own client alone, where that does not matter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nvim_driver import LIMIT, Neovim, Sandbox, StartNeovim, StartTerminal, until
from support import mistral_wire as wire
from support.api_server import Answer, Request, ScriptedApi, writes

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


GREETING = "def greet(who):\n\tword = '\N{GRINNING FACE} hé' + who\n\treturn word  # \N{PARTY POPPER}\n"


def test_tabs_and_emoji_before_the_cursor(editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(GREETING)
    open_source(editor, GREETING.replace(" hé' + who", ""))
    editor.type("A")
    editor.wait_for_ghost(" hé' + who")
    editor.type("<Tab>")
    editor.wait_for_lines(*GREETING.splitlines())


def test_typing_along_in_characters_of_several_bytes(plugin_editor: Neovim, api: ScriptedApi) -> None:
    api.script = writes(GREETING)
    open_source(plugin_editor, GREETING.replace("\N{GRINNING FACE} hé' + who", ""))
    plugin_editor.type("A")
    plugin_editor.wait_for_ghost("\N{GRINNING FACE} hé' + who")
    plugin_editor.type("\N{GRINNING FACE}")
    plugin_editor.wait_for_ghost(" hé' + who")
    plugin_editor.type(" hé<Tab>")
    plugin_editor.wait_for_lines(*GREETING.splitlines())


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_file_keeps_its_line_ends(editor: Neovim, api: ScriptedApi, line_end: str) -> None:
    """Whichever line ends the model writes."""
    before, after = "def add(a, b):\r\n\t", "\r\n\r\n\r\nprint(add(1, 2))\r\n"
    body = ["total = a + b", "\treturn total"]

    def script(request: Request) -> Answer:
        assert (request.prompt, request.suffix) == (before, after)
        return Answer(line_end.join(body))

    api.script = script
    path = open_source(editor, before + after)
    editor.type("A")
    editor.wait_for_ghost("\n".join(body))
    editor.type("<Tab>")
    editor.wait_for_lines("def add(a, b):", "\ttotal = a + b", "\treturn total", "", "", "print(add(1, 2))")
    editor.type("<Esc>:write<CR>")
    written = before + "\r\n".join(body) + after
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
    fail_once_in_words(editor)
    api.script = writes(DONE)
    recover(editor)
    assert_nothing_leaked(editor, api.key)


@pytest.mark.parametrize("init", [PLUGIN, PLAIN], ids=["plugin", "plain"])
def test_a_wrong_key_is_said_once_and_a_right_one_is_taken(
    start_neovim: StartNeovim, sandbox: Sandbox, api: ScriptedApi, init: str
) -> None:
    wrong = "wrong-key-9876543210"
    del sandbox.variables["MISTRAL_API_KEY"]
    key_file = sandbox.work / ".env"
    key_file.write_text(f"MISTRAL_API_KEY={wrong}\n")
    editor = start_neovim(init)
    open_source(editor)
    fail_once_in_words(editor)
    api.script = writes(DONE)
    key_file.write_text(f"MISTRAL_API_KEY={api.key}\n")
    recover(editor)
    assert_nothing_leaked(editor, wrong, api.key)


def fail_once_in_words(editor: Neovim) -> None:
    """Types while the API fails: the first failure is said in one message, the next ones are not."""
    editor.type("A")
    until("a message", lambda: said(editor))
    for key in ("l", "y", "<BS>"):
        editor.type_and_wait_for_answer(key)
    assert len(said(editor)) == 1, editor.messages()
    editor.type_and_wait_for_answer("<BS>")
    assert editor.ghost() == ""


def recover(editor: Neovim) -> None:
    """Types on, now that the API answers, until the ghost text is there (the server rests a while after a failure)."""
    until("an answer", lambda: editor.type_and_wait_for_answer("x") or editor.type_and_wait_for_answer("<BS>"))
    editor.wait_for_ghost(" = a + b")
    editor.type("<Tab>")
    editor.wait_for_lines(*DONE.splitlines())
    assert len(said(editor)) == 1, editor.messages()


def assert_nothing_leaked(editor: Neovim, *keys: str) -> None:
    """No traceback and no key: not in what the user sees, not in the editor's log, which has the server's stderr."""
    for place in (editor.messages(), editor.sandbox.lsp_log.read_text(encoding="utf-8")):
        assert "Traceback" not in place
        assert not [key for key in keys if key in place]


def said(editor: Neovim) -> list[str]:
    return [line for line in editor.messages().splitlines() if "codestral" in line.lower()]


def test_the_plugin_works_without_setup(start_neovim: StartNeovim, api: ScriptedApi) -> None:
    """With the server found by its name on PATH, started by vim.lsp.enable alone."""
    api.script = writes(DONE)
    editor = start_neovim("""
        vim.opt.runtimepath:append(plugin)
        vim.lsp.enable 'codestral'
        vim.lsp.inline_completion.enable()
        vim.keymap.set('i', '<C-l>', '<Plug>(codestral-accept)')
    """)
    open_source(editor)
    editor.type("A")
    editor.wait_for_ghost(" = a + b")
    editor.type(" =<C-l>")
    editor.wait_for_lines(*DONE.splitlines())


def test_a_user_at_a_terminal(start_terminal: StartTerminal, sandbox: Sandbox, api: ScriptedApi) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here: `apt-get install tmux`")
    api.script = writes(DONE)
    path = sandbox.work / "a.py"
    path.write_text(SOURCE)
    # Insert mode that begins before inline completion is attached asks for nothing. The editor attaches it in
    # a callback that it schedules after LspAttach; one that is scheduled later still tells when that is done.
    attached = """
        vim.o.laststatus = 2
        vim.api.nvim_create_autocmd('LspAttach', { callback = function()
          vim.schedule(function()
            vim.schedule(function() vim.o.statusline = 'attached' end)
          end)
        end })
    """
    terminal = start_terminal(attached + PLUGIN, path)
    terminal.wait_for("def add(a, b):", "attached")
    terminal.type("jA")
    terminal.wait_for("    total = a + b", "-- INSERT --")
    terminal.type(" = ")
    terminal.press("Tab")
    terminal.press("Escape")
    terminal.type(":wq")
    terminal.press("Enter")
    until("the file", lambda: path.read_text() == DONE)
