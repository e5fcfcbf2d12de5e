"""Lets these tests draw their edits from the same generator as the unit tests of text/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "text"))
