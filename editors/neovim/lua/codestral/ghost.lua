-- Keeps the ghost text of codestral-ls true to the text: it shows only while what is typed is its beginning.
-- The editor's own client (0.12.4) draws late answers, keeps a ghost that was typed against, and doubles characters when
-- it accepts one that was typed along; so its answers pass through here, and it is given the remainder at the cursor.

local Suggestion = require 'codestral.suggestion'

local M = {}

local INLINE = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2 -- lsp.InlineCompletionTriggerKind

-- What is taken of the rest. A word brings the blanks and punctuation before it, and the blanks after it on its line.
---@type table<codestral.Part, string>
local PARTS = { all = '^.*$', word = '^%s*%p*[^%s%p]*[ \t]*', line = '^\n?[^\n]*' }

---@class codestral.Ghost What one buffer has of codestral-ls.
---@field client vim.lsp.Client
---@field handler? lsp.Handler The editor's own handler of answers. An empty list makes it take its ghost away.
---@field suggestions codestral.Suggestion[] The first is the one that shows.
---@field asked integer Number of the newest request.
---@field settled integer Number of the request that was last decided on; answers to it and older ones come too late.
---@field request? integer The request under way, as the client numbers it.
---@field step integer 1 or -1: the answer to come was asked for to move on in that direction. Else 0.
---@field invoke boolean The next request is to be an explicit one.

---@type table<integer, codestral.Ghost>
local ghosts = {}

---@type table<integer, true>
local wrapped = {}

--- Gives the editor the items that it is to have; with none, it takes its ghost away.
---@param buf integer
---@param ghost codestral.Ghost
---@param items lsp.InlineCompletionItem[]
local function hand(buf, ghost, items)
  -- The handler belongs to a state that the editor drops when inline completion is switched off.
  if ghost.handler and not pcall(ghost.handler, nil, { items = items }, { client_id = ghost.client.id, bufnr = buf }) then
    ghost.handler, ghost.suggestions = nil, {}
  end
end

--- Has the editor show what still belongs at the cursor, anchored there.
---@param buf integer
---@param ghost codestral.Ghost
local function show(buf, ghost)
  if #ghost.suggestions == 0 then
    return
  end
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local line, encoding = vim.api.nvim_get_current_line(), ghost.client.offset_encoding
  local items, kept = {}, {}
  for _, suggestion in ipairs(ghost.suggestions) do
    local text = Suggestion.rest(suggestion, buf)
    if text then
      local function position(byte)
        return { line = row - 1, character = vim.str_utfindex(line, encoding, byte, false) }
      end
      local range = { start = position(col), ['end'] = position(col + suggestion.tail) }
      kept[#kept + 1] = suggestion
      items[#items + 1] = { insertText = text, range = range, command = suggestion.command }
    end
  end
  ghost.suggestions = kept
  hand(buf, ghost, items)
end

--- Takes the ghost text away and disregards the answers that are under way.
---@param buf integer
---@param ghost codestral.Ghost
local function clear(buf, ghost)
  ghost.suggestions, ghost.settled, ghost.step = {}, ghost.asked, 0
  hand(buf, ghost, {})
end

---@param ghost codestral.Ghost
---@param step integer
local function rotate(ghost, step)
  if step > 0 then
    table.insert(ghost.suggestions, table.remove(ghost.suggestions, 1))
  elseif step < 0 then
    table.insert(ghost.suggestions, 1, table.remove(ghost.suggestions))
  end
end

--- The handler for one request: lets through what still belongs to the text.
---@param buf integer
---@param ghost codestral.Ghost
---@param place codestral.Place
---@return lsp.Handler
local function listen(buf, ghost, place)
  ghost.asked = ghost.asked + 1
  local number, handler = ghost.asked, ghost.handler
  return function(err, result, context)
    if ghosts[buf] ~= ghost or number <= ghost.settled then
      return
    end
    if err or not result then
      ---@cast handler -nil
      return handler(err, result, context) -- the editor logs it, and the ghost stays
    end
    local previous = ghost.suggestions[1]
    local shown = previous and Suggestion.rest(previous, buf)
    local suggestions = {} ---@type codestral.Suggestion[]
    for _, item in ipairs(result.items or result) do
      local suggestion = Suggestion.read(item, place, ghost.client.offset_encoding)
      if suggestion and Suggestion.rest(suggestion, buf) then
        suggestions[#suggestions + 1] = suggestion
      end
    end
    if #suggestions == 0 and number < ghost.asked then
      return -- about a text that is no longer there
    end
    ghost.settled = number
    if #suggestions == 0 then
      return clear(buf, ghost)
    end
    ghost.suggestions = suggestions
    if ghost.step ~= 0 then
      for _ = 1, #suggestions do
        if Suggestion.rest(ghost.suggestions[1], buf) == shown then
          break
        end
        rotate(ghost, 1)
      end
      rotate(ghost, ghost.step)
      ghost.step = 0
    end
    show(buf, ghost)
  end
end

---@return codestral.Ghost?, integer
local function current()
  local buf = vim.api.nvim_get_current_buf()
  return ghosts[buf], buf
end

---@return boolean
function M.visible()
  local ghost, buf = current()
  local first = ghost and ghost.suggestions[1]
  return first ~= nil and Suggestion.rest(first, buf) ~= nil
end

---@param part codestral.Part
---@return boolean
function M.accept(part)
  local ghost, buf = current()
  local suggestion = ghost and ghost.suggestions[1]
  local text = suggestion and Suggestion.rest(suggestion, buf)
  if not ghost or not suggestion or not text then
    return false
  end
  local taken = text:match(PARTS[part])
  taken = taken ~= '' and taken or text
  local whole = taken == text

  vim.cmd.let '&g:undolevels = &g:undolevels' -- breaks the undo sequence: one undo takes back what is accepted here
  local lines = vim.split(taken, '\n', { plain = true })
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  vim.api.nvim_buf_set_text(buf, row - 1, col, row - 1, col + (whole and suggestion.tail or 0), lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and col or 0) + #lines[#lines] })

  if whole then
    clear(buf, ghost)
    if suggestion.command then
      ghost.client:exec_cmd(suggestion.command, { bufnr = buf })
    end
    return true
  end
  row, col = unpack(vim.api.nvim_win_get_cursor(0))
  ghost.settled = ghost.asked
  ghost.suggestions = {
    {
      text = text:sub(#taken + 1),
      row = row - 1,
      before = vim.api.nvim_get_current_line():sub(1, col),
      after = suggestion.after,
      tail = suggestion.tail,
      command = suggestion.command,
    },
  }
  show(buf, ghost)
  return true
end

---@return boolean
function M.dismiss()
  local ghost, buf = current()
  if not ghost then
    return false
  end
  local visible = M.visible()
  clear(buf, ghost)
  return visible
end

function M.trigger()
  local ghost, buf = current()
  if not ghost then
    return
  end
  if not ghost.handler then
    ghost.invoke = true -- the editor has not asked yet; it does 200 ms after insert mode begins
    return
  end
  local params = vim.lsp.util.make_position_params(0, ghost.client.offset_encoding) --[[@as lsp.InlineCompletionParams]]
  params.context = { triggerKind = INVOKED }
  ghost.client:request(INLINE, params, ghost.handler, buf)
end

---@param step integer 1 or -1
function M.cycle(step)
  local ghost, buf = current()
  if not ghost then
    return
  end
  if #ghost.suggestions > 1 then
    rotate(ghost, step)
    show(buf, ghost)
  else
    ghost.step = step
    M.trigger()
  end
end

--- Has the client's inline completion requests pass through here.
---@param client vim.lsp.Client
local function wrap(client)
  if wrapped[client.id] then
    return
  end
  wrapped[client.id] = true
  local request = client.request
  client.request = function(self, method, params, handler, buf)
    buf = vim._resolve_bufnr(buf)
    local ghost = ghosts[buf]
    if self ~= client or method ~= INLINE or not ghost or not handler then
      return request(self, method, params, handler, buf)
    end
    if not vim.startswith(vim.api.nvim_get_mode().mode, 'i') then
      return false -- the editor's timer outlives insert mode when that ends by CTRL-C
    end
    ghost.handler = handler
    if ghost.invoke and params.context.triggerKind == AUTOMATIC then
      params.context.triggerKind = INVOKED
    end
    ghost.invoke = false
    local place = {
      row = vim.api.nvim_win_get_cursor(0)[1] - 1,
      col = vim.api.nvim_win_get_cursor(0)[2],
      line = vim.api.nvim_get_current_line(),
    }
    local sent, id = request(self, method, params, listen(buf, ghost, place), buf)
    ghost.request = id
    return sent, id
  end
end

--- Insert mode is over: nothing shows, and nothing is waited for. The editor does this itself except after CTRL-C.
---@param buf integer
---@param ghost codestral.Ghost
local function leave(buf, ghost)
  ghost.suggestions, ghost.settled, ghost.step, ghost.invoke = {}, ghost.asked, 0, false
  local under_way = ghost.request and ghost.client.requests[ghost.request]
  if under_way and under_way.type == 'pending' then
    ghost.client:cancel_request(ghost.request)
  end
  local drawn = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  if drawn then
    vim.api.nvim_buf_clear_namespace(buf, drawn, 0, -1)
  end
end

--- Cares for the ghost text of this client in this buffer, until it detaches.
---@param client vim.lsp.Client
---@param buf integer
function M.watch(client, buf)
  wrap(client)
  local ghost = { client = client, suggestions = {}, asked = 0, settled = 0, step = 0, invoke = false } ---@type codestral.Ghost
  ghosts[buf] = ghost
  local group = vim.api.nvim_create_augroup('codestral.ghost:' .. buf, { clear = true })
  vim.api.nvim_create_autocmd({ 'CursorMovedI', 'TextChangedI', 'TextChangedP' }, {
    group = group,
    buffer = buf,
    desc = 'Shorten the ghost text by what was typed, or take it away',
    callback = function()
      show(buf, ghost)
    end,
  })
  vim.api.nvim_create_autocmd('ModeChanged', {
    group = group,
    pattern = 'i*:n*',
    desc = 'Take the ghost text away when insert mode ends, also by CTRL-C, which is no InsertLeave',
    callback = function()
      if vim.api.nvim_get_current_buf() == buf then
        leave(buf, ghost)
      end
    end,
  })
  vim.api.nvim_create_autocmd('ModeChanged', {
    group = group,
    pattern = '*:i*',
    desc = 'Insert mode begins without the ghost text that the editor kept over CTRL-C',
    callback = function()
      if vim.api.nvim_get_current_buf() == buf then
        hand(buf, ghost, {})
      end
    end,
  })
  vim.api.nvim_create_autocmd({ 'LspDetach', 'BufWipeout' }, {
    group = group,
    buffer = buf,
    desc = 'The ghost text goes with its server',
    callback = function(event)
      if event.event == 'BufWipeout' or event.data.client_id == client.id then
        ghosts[buf] = nil
        vim.api.nvim_del_augroup_by_id(group)
      end
    end,
  })
end

return M
