"""The Neovim plugin's own rules, in a real Neovim. The language server is a few lines of Lua inside the editor that
answer when the test says so: only that way is the order of keys and late answers certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from nvim_driver import Neovim, StartNeovim, until

pytestmark = pytest.mark.editor

SERVER = """
vim.opt.runtimepath:append(plugin)
asked, commands, initialize = {}, {}, nil
function server(dispatchers)
  local last, closing = 0, false
  return {
    request = function(method, params, callback, answered)
      last = last + 1
      local id = last
      local function answer(result)
        if answered then
          answered(id)
        end
        callback(nil, result, id)
      end
      if method == 'initialize' then
        initialize = params
        answer { capabilities = {
          positionEncoding = 'utf-8',
          inlineCompletionProvider = vim.empty_dict(),
          executeCommandProvider = { commands = { 'codestral-ls.accepted' } },
        } }
      elseif method == 'textDocument/inlineCompletion' then
        table.insert(asked, { params = params, answer = answer })
      else
        if method == 'workspace/executeCommand' then
          table.insert(commands, params.command)
        end
        answer(vim.NIL)
      end
      return true, id
    end,
    notify = function(method)
      if method == 'exit' then
        closing = true
        dispatchers.on_exit(0, 0)
      end
    end,
    is_closing = function() return closing end,
    terminate = function() closing = true end,
  }
end
"""
SETUP = SERVER + "require('codestral').setup { cmd = server, keymaps = true }\n"

LINE = "    total"


@dataclass(frozen=True)
class Scripted:
    """A Neovim on a line of text with the cursor at its end, and the server in the test's hand."""

    editor: Neovim

    def asked(self) -> int:
        """How many inline completion requests have come."""
        return int(self.editor.lua("return #asked"))

    def wait_until_asked(self, times: int) -> dict[str, Any]:
        """Waits for that many requests in all; gives the parameters of the last of them."""
        until(f"request {times}", lambda: self.asked() >= times)
        return dict(self.editor.lua("return asked[...].params", times))

    def answer(self, number: int, *texts: str, tail: int = 0, **more: Any) -> None:
        """Answers a request, counted from 1, with items at the place that it asked for."""
        place = self.editor.lua("return asked[...].params.position", number)
        end = {**place, "character": place["character"] + tail}
        items = [{"insertText": text, "range": {"start": place, "end": end}, **more} for text in texts]
        # An empty table of Python is an empty list in Lua.
        self.editor.lua("local number, items = ... asked[number].answer { items = items }", number, items)

    def ghost_for(self, *texts: str, **more: Any) -> None:
        """Enters insert mode at the end of the line and has the first request answered."""
        self.editor.type("A")
        self.wait_until_asked(1)
        self.answer(1, *texts, **more)
        self.editor.wait_for_ghost(texts[0])

    def line(self) -> str:
        return self.editor.lines()[0]

    def wait_for_line(self, text: str) -> None:
        self.editor.wait_for_lines(*text.split("\n"))

    def settled_ghost(self) -> str:
        """The ghost text once the keys typed so far are dealt with."""
        self.editor.type("<Cmd>let g:typed = get(g:, 'typed', 0) + 1<CR>")
        before = int(self.editor.lua("return vim.g.seen or 0"))
        until("the keys", lambda: int(self.editor.lua("return vim.g.typed or 0")) > before)
        self.editor.lua("vim.g.seen = vim.g.typed")
        return self.editor.ghost()


@pytest.fixture
def scripted(start_neovim: StartNeovim) -> Scripted:
    return start_scripted(start_neovim, SETUP)


def start_scripted(start_neovim: StartNeovim, init: str, line: str = LINE) -> Scripted:
    editor = start_neovim(init)
    path = editor.sandbox.work / "a.py"
    path.write_text(line + "\n")
    editor.open(path)
    return Scripted(editor)


# Late answers


def test_a_late_answer_for_another_text_is_not_drawn(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.editor.type("ly")
    scripted.wait_until_asked(2)
    scripted.answer(1, " = a + b")
    assert scripted.editor.ghost() == ""
    scripted.answer(2, " = b")
    scripted.editor.wait_for_ghost(" = b")


def test_a_late_answer_that_was_typed_along_is_drawn_shortened(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.editor.type(" = a")
    scripted.wait_until_asked(2)
    scripted.answer(1, " = a + b")
    scripted.editor.wait_for_ghost(" + b")


def test_an_answer_older_than_the_one_shown_is_not_drawn(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.editor.type(" =")
    scripted.wait_until_asked(2)
    scripted.answer(2, " new")
    scripted.editor.wait_for_ghost(" new")
    scripted.answer(1, " = old")
    assert scripted.editor.ghost() == " new"


def test_an_empty_answer_takes_the_ghost_away_unless_it_is_late(scripted: Scripted) -> None:
    scripted.ghost_for(" = a")
    scripted.editor.type(" ")
    scripted.wait_until_asked(2)
    scripted.editor.type("=")
    scripted.wait_until_asked(3)
    scripted.answer(2)
    assert scripted.editor.ghost() == " a"
    scripted.answer(3)
    scripted.editor.wait_for_ghost("")


def test_an_answer_asked_for_before_dismissing_stays_away(scripted: Scripted) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.type(" =")
    scripted.wait_until_asked(2)
    scripted.editor.type("<C-]>")
    scripted.editor.wait_for_ghost("")
    scripted.answer(2, " a + b")
    assert scripted.editor.ghost() == ""


def test_snippets_and_ranges_over_lines_are_not_drawn(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.editor.lua("""
        local place = asked[1].params.position
        local below = { line = place.line + 1, character = 0 }
        asked[1].answer { items = {
          { insertText = { kind = 'snippet', value = 'snippet' }, range = { start = place, ['end'] = place } },
          { insertText = 'over lines', range = { start = place, ['end'] = below } },
          { insertText = ' = good', range = { start = place, ['end'] = place } },
        } }
    """)
    scripted.editor.wait_for_ghost(" = good")


def test_line_ends_of_the_document_do_not_reach_the_buffer(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.answer(1, " = a\r\n    return total")
    scripted.editor.wait_for_ghost(" = a\n    return total")
    scripted.editor.type("<Tab>")
    scripted.wait_for_line(LINE + " = a\n    return total")


# What takes a ghost away


@pytest.mark.parametrize("keys", ["x", "<BS>", "<Left>", "<Home>", "<CR>", "<Esc>", "<C-c>"])
def test_what_leaves_the_ghosts_place_takes_it_away(scripted: Scripted, keys: str) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.type(keys)
    scripted.editor.wait_for_ghost("")


@pytest.mark.parametrize("key", ["<Esc>", "<C-c>"])
def test_the_next_insert_mode_begins_without_it(scripted: Scripted, key: str) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.type(key)
    scripted.editor.wait_for_mode("n")
    scripted.editor.type("A")
    scripted.editor.wait_for_mode("i")
    assert scripted.editor.ghost() == ""


def test_a_bracket_closed_by_another_plugin_takes_the_ghost_away(start_neovim: StartNeovim) -> None:
    """Else the bracket in the ghost would come after it."""
    scripted = start_scripted(start_neovim, SETUP + "vim.keymap.set('i', '(', '()<Left>')\n")
    scripted.ghost_for("(a, b)")
    scripted.editor.type("(")
    scripted.editor.wait_for_ghost("")
    assert scripted.line() == LINE + "()"


def test_deleting_a_typed_along_character_brings_it_back_into_the_ghost(scripted: Scripted) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.type(" =")
    scripted.editor.wait_for_ghost(" a + b")
    scripted.editor.type("<BS>")
    scripted.editor.wait_for_ghost("= a + b")


def test_switching_inline_completion_off_and_on_leaves_no_error(scripted: Scripted) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.lua("vim.lsp.inline_completion.enable(false)")
    scripted.editor.wait_for_ghost("")
    scripted.editor.type(" =<Tab>")
    until("a plain tab", lambda: scripted.line() != LINE)
    scripted.editor.lua("vim.lsp.inline_completion.enable(true)")
    scripted.editor.type("x")
    asked = scripted.asked()
    scripted.wait_until_asked(asked + 1)
    scripted.answer(asked + 1, " again")
    scripted.editor.wait_for_ghost(" again")


def test_the_end_of_the_server_leaves_no_error(scripted: Scripted) -> None:
    scripted.ghost_for(" = a + b")
    scripted.editor.lua("vim.lsp.get_clients()[1]:stop()")
    until("its end", lambda: scripted.editor.lua("return #vim.lsp.get_clients() == 0"))
    scripted.editor.type("x<Tab>y")
    scripted.wait_for_line(LINE + "x  y")
    assert scripted.editor.ghost() == ""


# Accepting


@pytest.mark.parametrize(
    ("key", "taken", "left"),
    [
        ("<M-Right>", " = ", "(alpha, beta)\n    return total"),
        ("<M-Down>", " = (alpha, beta)", "\n    return total"),
        ("<Tab>", " = (alpha, beta)\n    return total", ""),
    ],
)
def test_a_part_is_accepted_and_the_rest_stays(scripted: Scripted, key: str, taken: str, left: str) -> None:
    scripted.ghost_for(" = (alpha, beta)\n    return total")
    scripted.editor.type(key)
    scripted.wait_for_line(LINE + taken)
    assert scripted.settled_ghost() == left


def test_parts_come_one_after_the_other(scripted: Scripted) -> None:
    scripted.ghost_for(" = a\n    return total")
    scripted.editor.type("<M-Right><M-Right>")
    scripted.wait_for_line(LINE + " = a")
    scripted.editor.type("<M-Down>")
    scripted.wait_for_line(LINE + " = a\n    return total")
    assert scripted.settled_ghost() == ""


def test_the_server_learns_of_a_whole_acceptance_only(scripted: Scripted) -> None:
    scripted.ghost_for(" = a", command={"title": "Accepted", "command": "codestral-ls.accepted"})
    scripted.editor.type("<M-Right>")
    scripted.wait_for_line(LINE + " = ")
    assert scripted.editor.lua("return commands") == []
    scripted.editor.type("<M-Right>")
    scripted.wait_for_line(LINE + " = a")
    until("the command", lambda: scripted.editor.lua("return #commands") == 1)


@pytest.mark.parametrize("typed", ["", "a"])
def test_the_tail_that_the_text_repeats_is_replaced(start_neovim: StartNeovim, typed: str) -> None:
    scripted = start_scripted(start_neovim, SETUP, "add()")
    scripted.editor.type("A<Left>")
    scripted.wait_until_asked(1)
    asked = scripted.asked()
    scripted.answer(asked, "a, b)", tail=1)
    until("ghost text", scripted.editor.ghost)
    scripted.editor.type(f"{typed}<Tab>")
    scripted.wait_for_line("add(a, b)")


def test_a_mapping_of_the_editors_own_accept_doubles_nothing_either(start_neovim: StartNeovim) -> None:
    own = "vim.keymap.set('i', '<C-l>', function() vim.lsp.inline_completion.get() end)\n"
    scripted = start_scripted(start_neovim, SETUP + own)
    scripted.ghost_for(" = a + b")
    scripted.editor.type(" =")
    scripted.editor.wait_for_ghost(" a + b")
    scripted.editor.type("<C-l>")
    scripted.wait_for_line(LINE + " = a + b")


def test_accepting_keeps_the_keys_order(scripted: Scripted) -> None:
    scripted.ghost_for(" = a")
    scripted.editor.type("<Tab> + b<Esc>")
    scripted.wait_for_line(LINE + " = a + b")


# Other suggestions


def test_next_and_previous_ask_for_more_once_and_go_round(scripted: Scripted) -> None:
    scripted.ghost_for(" = one")
    scripted.editor.type("<M-]>")
    assert scripted.wait_until_asked(2)["context"] == {"triggerKind": 1}
    scripted.answer(2, " = one", " = two", " = three")
    for key, shown in [("", "two"), ("<M-]>", "three"), ("<M-]>", "one"), ("<M-[>", "three")]:
        scripted.editor.type(key)
        scripted.editor.wait_for_ghost(f" = {shown}")
    assert scripted.asked() == 2
    scripted.editor.type("<Tab>")
    scripted.wait_for_line(LINE + " = three")


def test_trigger_asks_explicitly(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.wait_until_asked(1)
    scripted.answer(1)
    scripted.editor.type(r"<M-\>")
    assert scripted.wait_until_asked(2)["context"] == {"triggerKind": 1}
    scripted.answer(2, " = a")
    scripted.editor.wait_for_ghost(" = a")


def test_trigger_before_the_first_request_makes_that_one_explicit(scripted: Scripted) -> None:
    scripted.editor.lua("require('codestral').trigger()")
    scripted.editor.type("A")
    assert scripted.wait_until_asked(1)["context"] == {"triggerKind": 1}
    scripted.editor.type("x")
    assert scripted.wait_until_asked(2)["context"] == {"triggerKind": 2}


# Keys


# `here` is what vim.keymap.set takes for a buffer or nil, `flag` is "<buffer>" or empty.
MAPPED_BEFORE = {
    "text": ("vim.keymap.set('i', '<Tab>', 'TEXT', { buffer = here })", "TEXT"),
    "a function": (
        "vim.keymap.set('i', '<Tab>', function() vim.api.nvim_put({'CALL'}, 'c', false, true) end, { buffer = here })",
        "CALL",
    ),
    "an expression": (
        "vim.keymap.set('i', '<Tab>', function() return '<C-v>u41' end, { expr = true, buffer = here })",
        "A",
    ),
    "a Vim expression": ("vim.cmd('inoremap <expr> ' .. flag .. '<Tab> \"VIM\" .. 1')", "VIM1"),
    "a recursive mapping": ("vim.cmd('imap ' .. flag .. '<Tab> Q') vim.cmd 'inoremap Q DEEP'", "DEEP"),
    "a mapping that begins with its own key": ("vim.cmd('imap ' .. flag .. '<Tab> <Tab>x')", "   x"),
    "nothing": ("", "   "),
}


@pytest.mark.parametrize("scope", ["everywhere", "in the buffer"])
@pytest.mark.parametrize(("mapping", "result"), MAPPED_BEFORE.values(), ids=MAPPED_BEFORE.keys())
def test_tab_does_what_it_did_before(start_neovim: StartNeovim, mapping: str, result: str, scope: str) -> None:
    if scope == "everywhere":
        before = f"local here, flag = nil, ''\n{mapping}\n"
    else:
        before = (
            "vim.api.nvim_create_autocmd('FileType', { pattern = 'python', callback = function()\n"
            f"  local here, flag = 0, '<buffer>'\n  {mapping}\nend }})\n"
        )
    scripted = start_scripted(start_neovim, before + SETUP)
    scripted.editor.type("A<Tab>|")
    scripted.wait_for_line(LINE + result + "|")
    scripted.wait_until_asked(1)
    scripted.answer(scripted.asked(), "ghost")
    scripted.editor.wait_for_ghost("ghost")
    scripted.editor.type("<Tab>")
    scripted.wait_for_line(LINE + result + "|ghost")


def test_tab_still_ends_an_abbreviation(start_neovim: StartNeovim) -> None:
    scripted = start_scripted(start_neovim, "vim.keymap.del('i', '<Tab>') vim.cmd 'iabbrev tt total'\n" + SETUP)
    scripted.editor.type("A tt<Tab>|")
    scripted.wait_for_line(LINE + " total |")


def test_tab_still_jumps_in_a_snippet(scripted: Scripted) -> None:
    scripted.editor.type("A")
    scripted.editor.wait_for_mode("i")
    scripted.editor.lua("vim.snippet.expand '($1, $2)'")
    scripted.editor.type("a<Tab>b")
    scripted.wait_for_line(LINE + "(a, b)")


def test_setting_up_twice_maps_once(start_neovim: StartNeovim) -> None:
    again = "require('codestral').setup { cmd = server, keymaps = true }\n"
    scripted = start_scripted(start_neovim, SETUP + again)
    scripted.editor.type("A<Tab>|")
    scripted.wait_for_line(LINE + "   |")


def test_nothing_is_mapped_unasked(start_neovim: StartNeovim) -> None:
    def mapped(start: str) -> set[str]:
        editor = start_scripted(start_neovim, SERVER + start).editor
        keys = editor.lua("""
            local keys = {}
            for _, mode in ipairs { 'n', 'x', 's', 'o', 'i', 'c', 't' } do
              for _, list in ipairs { vim.api.nvim_get_keymap(mode), vim.api.nvim_buf_get_keymap(0, mode) } do
                for _, mapping in ipairs(list) do
                  table.insert(keys, mode .. ' ' .. mapping.lhs)
                end
              end
            end
            return keys
        """)
        return {re.sub(r"<SNR>\d+", "<SNR>", key) for key in keys}  # script numbers differ from run to run

    start = "vim.lsp.config('codestral', { cmd = server }) vim.lsp.enable 'codestral'\n"
    without = mapped("vim.opt.runtimepath:remove(plugin)\n" + start)
    new = mapped("require('codestral').setup { cmd = server }\n") - without
    assert "i <Plug>(codestral-accept)" in new
    assert [key for key in new if "<Plug>(codestral-" not in key] == []


def test_only_the_keys_that_are_named_are_mapped(start_neovim: StartNeovim) -> None:
    init = SERVER + "require('codestral').setup { cmd = server, keymaps = { accept = '<C-l>' } }\n"
    scripted = start_scripted(start_neovim, init)
    scripted.ghost_for(" = a")
    scripted.editor.type("<C-l><Tab>|")
    scripted.wait_for_line(LINE + " = a   |")


def test_a_plug_key_can_be_mapped_by_hand(start_neovim: StartNeovim) -> None:
    init = SERVER + "require('codestral').setup { cmd = server }\n"
    scripted = start_scripted(start_neovim, init + "vim.keymap.set('i', '<C-l>', '<Plug>(codestral-accept)')\n")
    scripted.ghost_for(" = a")
    scripted.editor.type("<C-l>")
    scripted.wait_for_line(LINE + " = a")


# Setting up


def test_settings_reach_the_server(start_neovim: StartNeovim) -> None:
    init = SERVER + "require('codestral').setup { cmd = server, settings = { debounce_ms = 0 } }\n"
    scripted = start_scripted(start_neovim, init)
    assert scripted.editor.lua("return initialize.initializationOptions") == {"debounce_ms": 0}
    sections = "vim.lsp.get_clients()[1].settings"
    assert scripted.editor.lua(f"return {sections}") == {"codestral": {"debounce_ms": 0}}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{ keymap = true }", "unknown option 'keymap'"),
        ("{ keymaps = 1 }", "keymaps: expected boolean|table"),
        ("{ keymaps = { acept = '<Tab>' } }", "unknown action 'acept'"),
        ("{ cmd = { 'no-such-program' } }", "'no-such-program' is not on PATH"),
    ],
)
def test_a_wrong_setup_is_told_in_one_message(start_neovim: StartNeovim, options: str, said: str) -> None:
    editor = start_neovim(f"vim.opt.runtimepath:append(plugin)\nrequire('codestral').setup {options}\n")
    [message] = [line for line in editor.messages().splitlines() if line]
    assert said in message
    assert editor.lua("return vim.lsp.is_enabled 'codestral'") is False


def test_before_012_the_server_starts_and_the_message_says_what_is_missing(start_neovim: StartNeovim) -> None:
    """The editor here is newer; it is told to deny it."""
    older = (
        "local has = vim.fn.has\n"
        "vim.fn.has = function(what) return what == 'nvim-0.12' and 0 or has(what) end\n"
        "vim.lsp.inline_completion = setmetatable({}, { __index = function() error 'not in 0.11' end })\n"
    )
    scripted = start_scripted(start_neovim, older + SETUP)
    [message] = [line for line in scripted.editor.messages().splitlines() if "codestral" in line]
    assert "ghost text needs Neovim 0.12" in message
    assert "completion menu works" in message
