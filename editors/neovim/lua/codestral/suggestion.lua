-- A suggestion and the place in the text that it is for. Columns are bytes here; the protocol's stay outside.

local M = {}

---@class codestral.Suggestion A text and the place that it is for. Columns are bytes.
---@field text string With \n for every line end.
---@field row integer
---@field before string The line up to where the text goes.
---@field after string The line from the cursor on.
---@field tail integer How much of `after` the text replaces.
---@field command? lsp.Command

--- Where a request stood: what is needed to place its answer, however the text has changed meanwhile.
---@class codestral.Place
---@field row integer
---@field col integer
---@field line string

--- What the server's item means in the text that it was asked about; nil for what is never drawn.
---@param item lsp.InlineCompletionItem
---@param place codestral.Place
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return codestral.Suggestion?
function M.read(item, place, encoding)
  local range = item.range
  if type(item.insertText) ~= 'string' or range and (range.start.line ~= place.row or range['end'].line ~= place.row) then
    return nil -- codestral-ls sends neither snippets nor ranges over lines
  end
  local function byte(character)
    return vim.str_byteindex(place.line, encoding, character, false)
  end
  local first = range and byte(range.start.character) or place.col
  local last = range and byte(range['end'].character) or place.col
  if first > place.col or last < place.col then
    return nil
  end
  return {
    -- The server keeps the document's line ends; a buffer has none.
    text = (item.insertText:gsub('\r\n?', '\n')),
    row = place.row,
    before = place.line:sub(1, first),
    after = place.line:sub(place.col + 1),
    tail = last - place.col,
    command = item.command,
  }
end

--- What is left of the text at the cursor; nil if it no longer belongs there.
---@param suggestion codestral.Suggestion
---@param buf integer
---@return string?
function M.rest(suggestion, buf)
  if vim.api.nvim_get_current_buf() ~= buf then
    return nil
  end
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  if row - 1 ~= suggestion.row then
    return nil
  end
  local line = vim.api.nvim_get_current_line()
  local typed = line:sub(#suggestion.before + 1, col)
  if
    #suggestion.before <= col
    and vim.startswith(line, suggestion.before)
    and line:sub(col + 1) == suggestion.after
    and vim.startswith(suggestion.text, typed)
    and #suggestion.text > #typed
  then
    return suggestion.text:sub(#typed + 1)
  end
  return nil
end

return M
