"""The editor's side: the only rooms that know pygls and lsprotocol. A handler converts, calls once, converts back."""
