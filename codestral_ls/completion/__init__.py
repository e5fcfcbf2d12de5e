"""From a cursor to a suggestion. Speaks of documents, offsets and suggestions; would serve an editor without LSP."""
