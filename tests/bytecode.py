"""Keeps compiled code between runs, whatever the environment says of it: a run starts some two hundred processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

KEPT_IN = Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode"

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(KEPT_IN)
sys.dont_write_bytecode = False
