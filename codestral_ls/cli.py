"""The command line."""
import os, sys
def main() -> int:
    if "--version" in sys.argv:
        from codestral_ls import __version__
        print(__version__); return 0
    from codestral_ls.lsp.server import run_stdio
    return run_stdio(os.environ)
if __name__ == "__main__":
    sys.exit(main())
