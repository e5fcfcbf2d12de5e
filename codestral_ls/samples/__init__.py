"""The bundled sample that the demo types and the sandbox can continue."""
