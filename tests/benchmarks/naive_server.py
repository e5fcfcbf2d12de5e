"""The yardstick of `bench_server.py`: pygls and httpx with nothing in between."""

import os

import httpx
from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("naive", "1")
client = httpx.AsyncClient(
    base_url=os.environ["CODESTRAL_LS_BASE_URL"], headers={"authorization": f"Bearer {os.environ['MISTRAL_API_KEY']}"}
)


@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
async def inline_completion(ls: LanguageServer, params: types.InlineCompletionParams) -> types.InlineCompletionList:
    document = ls.workspace.get_text_document(params.text_document.uri)
    offset = document.offset_at_position(params.position)
    body = {
        "model": "codestral-latest",
        "prompt": document.source[:offset],
        "suffix": document.source[offset:],
        "max_tokens": 64,
    }
    answer = (await client.post("/v1/fim/completions", json=body)).json()
    text = answer["choices"][0]["message"]["content"]
    return types.InlineCompletionList(items=[types.InlineCompletionItem(insert_text=text)])


server.start_io()
