"""The wire: everything that speaks HTTP. Knows no editor; the only room that knows httpx."""
