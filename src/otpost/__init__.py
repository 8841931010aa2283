"""Otpost: a self-hosted service for SMS one-time passcodes."""

from importlib.metadata import version

__version__ = version("otpost")
