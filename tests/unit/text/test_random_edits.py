"""Ten thousand seeded edits per encoding leave the server's text equal to the client's."""

from __future__ import annotations

import random

import pytest
from text_models import ENCODINGS, EncodedText, assert_sound, joined, lines_of, random_edit, random_text

from codestral_ls.text.document import Document, Edit
from codestral_ls.text.rope import Rope

EDITS = 10_000
LONGEST = 800


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ten_thousand_edits_leave_both_sides_equal(encoding):
    rng = random.Random(f"edits in {encoding.value}")
    client = joined(random_text(rng, 200))
    server = Document("file:///a", "text", 0, Rope.of(client, leaf_size=6, fan_out=4))
    for version in range(1, EDITS + 1):
        edit = random_edit(rng, client, encoding)
        if len(client) > LONGEST:
            edit = Edit((2, 0), (len(lines_of(client)) - 3, 0), edit.text)
        client = EncodedText(client, encoding).edited(edit)
        server.apply([edit], version, encoding)
        if version % 20 == 0:
            assert str(server.snapshot().text) == client, f"after edit {version}: {edit}"
        if version % 1_000 == 0:
            assert_sound(server.snapshot().text)
    assert str(server.snapshot().text) == client
