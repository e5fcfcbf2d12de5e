"""Documents, positions and text; knows no LSP and no network."""
