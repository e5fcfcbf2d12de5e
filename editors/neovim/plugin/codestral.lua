-- The <Plug> keys, and the care for ghost text in every buffer that the language server attaches to.
-- Nothing is mapped and no server is started: that is for setup{} or the user's own configuration.

if vim.g.loaded_codestral or vim.fn.has 'nvim-0.12' == 0 then
  return
end
vim.g.loaded_codestral = true

for name, call in pairs {
  ['accept'] = 'accept()',
  ['accept-word'] = "accept 'word'",
  ['accept-line'] = "accept 'line'",
  ['dismiss'] = 'dismiss()',
  ['next'] = 'next()',
  ['previous'] = 'previous()',
  ['trigger'] = 'trigger()',
} do
  local action = ("<Cmd>lua require('codestral').%s<CR>"):format(call)
  vim.keymap.set('i', '<Plug>(codestral-' .. name .. ')', action, { desc = 'Codestral: ' .. name })
end

vim.api.nvim_create_autocmd('LspAttach', {
  group = vim.api.nvim_create_augroup('codestral.attach', { clear = true }),
  desc = 'Keep the ghost text of codestral-ls in step with what is typed',
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'codestral' then
      require('codestral.ghost').watch(client, event.buf)
    end
  end,
})
