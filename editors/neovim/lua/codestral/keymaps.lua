-- Keys that act on ghost text while it shows, and otherwise do what they did before.

local M = {}

-- So that a second setup{} does not take our own mapping for the user's.
local MARK = 'Codestral: '

---@param mappings vim.api.keyset.get_keymap[]
---@param key string
---@return vim.api.keyset.get_keymap?
local function find(mappings, key)
  local raw = vim.keycode(key)
  return vim.iter(mappings):find(function(mapping)
    return mapping.lhsraw == raw or mapping.lhsrawalt == raw
  end)
end

--- Makes `name` do what `key` does now.
---@param name string A <Plug> key.
---@param key string
---@param earlier? vim.api.keyset.get_keymap The mapping of `key`, if it has one.
---@param buf? integer
local function keep(name, key, earlier, buf)
  if not earlier then
    -- A mapped <Tab> does not end an abbreviation as a typed one does; CTRL-] does, and inserts nothing.
    vim.keymap.set('i', name, key == '<Tab>' and '<C-]><Tab>' or key, { buffer = buf })
    return
  end
  local copy = vim.deepcopy(earlier) --[[@as table]]
  copy.lhs, copy.lhsraw, copy.lhsrawalt = name, vim.keycode(name), nil
  if copy.noremap == 0 and vim.startswith(vim.keycode(copy.rhs or ''), vim.keycode(key)) then
    copy.noremap = 1 -- Vim does not remap a right-hand side's start that is the key itself; under a new name it would
  end
  vim.fn.mapset('i', false, copy)
end

---@param action codestral.Action
---@param key string
---@param earlier? vim.api.keyset.get_keymap
---@param buf? integer
local function map(action, key, earlier, buf)
  if earlier and vim.startswith(earlier.desc or '', MARK) then
    return
  end
  local plug = ('<Plug>(codestral-%s)'):format(action)
  if action == 'trigger' then
    vim.keymap.set('i', key, plug, { desc = MARK .. action })
    return
  end
  local before = ('<Plug>(codestral-before-%s)'):format(vim.text.hexencode(key))
  keep(before, key, earlier, buf)
  vim.keymap.set('i', key, function()
    return require('codestral.ghost').visible() and plug or before
  end, { expr = true, remap = true, buffer = buf, desc = MARK .. action })
end

--- Maps the keys in insert mode, everywhere; and in a buffer where the server attaches, over a mapping of its own.
---@param keys table<codestral.Action, string>
function M.map(keys)
  for action, key in pairs(keys) do
    map(action, key, find(vim.api.nvim_get_keymap 'i', key))
  end
  vim.api.nvim_create_autocmd('LspAttach', {
    group = vim.api.nvim_create_augroup('codestral.keymaps', { clear = true }),
    desc = 'Let the keys for ghost text come before mappings of the buffer',
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if not client or client.name ~= 'codestral' then
        return
      end
      for action, key in pairs(keys) do
        local earlier = find(vim.api.nvim_buf_get_keymap(event.buf, 'i'), key)
        if earlier then
          map(action, key, earlier, event.buf)
        end
      end
    end,
  })
end

return M
