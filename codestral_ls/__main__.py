"""`python -m codestral_ls`, for editors that start the server by its interpreter."""

from codestral_ls.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
