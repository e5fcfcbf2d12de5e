-- The language server as vim.lsp.enable 'codestral' starts it, without any setup.
-- No filetypes: the server takes every language, and its own settings say where it stays out.

---@type vim.lsp.Config
return {
  cmd = { 'codestral-ls' },
  root_markers = { '.codestral.toml', '.git' },
}
