-- Codestral ghost text in Neovim: setup{} starts the language server and, when asked, maps keys;
-- the other functions are what the keys do. Requests and drawing are the editor's own (vim.lsp.inline_completion).

local M = {}

---@alias codestral.Part 'all'|'word'|'line'
---@alias codestral.Action 'accept'|'accept-word'|'accept-line'|'dismiss'|'next'|'previous'|'trigger'

---@class codestral.Config
---@field cmd string[]|fun(dispatchers: vim.lsp.rpc.Dispatchers, config: vim.lsp.ClientConfig): vim.lsp.rpc.PublicClient How the language server is started.
---@field filetypes? string[] Where it is started; nil is every file.
---@field settings table<string, any> Settings of codestral-ls, as in its config.toml: { debounce_ms = 0 }.
---@field keymaps boolean|table<codestral.Action, string> false maps nothing; true maps M.keys; a table maps what it names.
M.config = {
  cmd = { 'codestral-ls' },
  filetypes = nil,
  settings = {},
  keymaps = false,
}

--- What `keymaps = true` maps in insert mode. All but trigger do what the key did before while no ghost text shows.
---@type table<codestral.Action, string>
M.keys = {
  ['accept'] = '<Tab>',
  ['accept-word'] = '<M-Right>',
  ['accept-line'] = '<M-Down>',
  ['dismiss'] = '<C-]>',
  ['next'] = '<M-]>',
  ['previous'] = '<M-[>',
  ['trigger'] = [[<M-\>]],
}

---@param message string
local function warn(message)
  vim.notify('codestral: ' .. message, vim.log.levels.WARN)
end

---@param options table<string, any>
---@return boolean whether every option is known and of the right type; if not, the user has been told
local function valid(options)
  local types = { cmd = { 'table', 'function' }, filetypes = 'table', settings = 'table', keymaps = { 'boolean', 'table' } }
  for name, value in pairs(options) do
    if not types[name] then
      warn(("unknown option '%s' in setup (known: cmd, filetypes, settings, keymaps)"):format(name))
      return false
    end
    local ok, reason = pcall(vim.validate, name, value, types[name])
    if not ok then
      warn('setup: ' .. reason)
      return false
    end
  end
  for action in pairs(type(options.keymaps) == 'table' and options.keymaps or {}) do
    if not M.keys[action] then
      warn(("unknown action '%s' in keymaps"):format(action))
      return false
    end
  end
  return true
end

--- Starts the language server for the files that are open and to come, and shows its suggestions as ghost text.
--- A wrong option is told in one message and nothing is started.
---@param options? table See codestral.Config; every field may be left out.
function M.setup(options)
  if vim.fn.has 'nvim-0.11' == 0 then
    return warn 'needs Neovim 0.11, and 0.12 for ghost text'
  end
  options = options or {}
  if not valid(options) then
    return
  end
  M.config = vim.tbl_deep_extend('force', M.config, options)

  local settings = next(M.config.settings) and M.config.settings or vim.empty_dict()
  vim.lsp.config('codestral', {
    cmd = M.config.cmd,
    filetypes = M.config.filetypes,
    init_options = settings,
    settings = { codestral = settings },
  })
  local program = type(M.config.cmd) == 'table' and M.config.cmd[1]
  if program and vim.fn.executable(program) == 0 then
    return warn(("'%s' is not on PATH: install codestral-ls, or name it in setup { cmd = … }"):format(program))
  end
  vim.lsp.enable 'codestral'

  if vim.fn.has 'nvim-0.12' == 0 then
    return warn(
      ('ghost text needs Neovim 0.12, this is %s; the completion menu works here (vim.lsp.completion)'):format(
        vim.version()
      )
    )
  end
  vim.lsp.inline_completion.enable()
  if M.config.keymaps then
    require('codestral.keymaps').map(M.config.keymaps == true and M.keys or M.config.keymaps --[[@as table]])
  end
end

--- Whether ghost text of codestral-ls shows at the cursor, for a mapping of one's own.
---@return boolean
function M.visible()
  return require('codestral.ghost').visible()
end

--- Inserts the ghost text, or its first word or line; the rest stays on screen.
---@param part? codestral.Part
---@return boolean false if there was none
function M.accept(part)
  return require('codestral.ghost').accept(part or 'all')
end

--- Takes the ghost text away, and whatever was asked for before.
---@return boolean false if there was none
function M.dismiss()
  return require('codestral.ghost').dismiss()
end

--- Shows the next suggestion; the first time, it asks the server for more.
function M.next()
  require('codestral.ghost').cycle(1)
end

--- Shows the previous suggestion; the first time, it asks the server for more.
function M.previous()
  require('codestral.ghost').cycle(-1)
end

--- Asks for a suggestion now, also where automatic ones are off.
function M.trigger()
  require('codestral.ghost').trigger()
end

return M
