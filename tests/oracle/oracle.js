// Answers what `vscode-languageserver-textdocument` makes of an edit: one JSON object a line in, one a line out.
//
// in:  {text, changes: [{range?, text}], positions: [{line, character}], offsets: [number]}
// out: {text, offsets: [number], positions: [[line, character]], lineCount}, both lists for the text after the changes

'use strict';

const readline = require('node:readline');
const { TextDocument } = require('vscode-languageserver-textdocument');

function create(text) {
  return TextDocument.create('file:///oracle', 'plaintext', 0, text);
}

function answer({ text, changes, positions, offsets }) {
  // A new document for every change: the package's running table of lines is wrong after a range that begins below
  // the last line (tests/oracle/test_oracle.py has the case), where the protocol only wants the place clamped.
  for (const change of changes) {
    text = TextDocument.update(create(text), [change], 1).getText();
  }
  const document = create(text);
  return {
    text,
    offsets: positions.map((position) => document.offsetAt(position)),
    positions: offsets.map((offset) => document.positionAt(offset)).map((at) => [at.line, at.character]),
    lineCount: document.lineCount,
  };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n');
});
