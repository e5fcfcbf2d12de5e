"""Settings, their layers and the trust rule; keys and where they are found; folders. Imports no other room."""

from codestral_ls.settings.describe import describe
from codestral_ls.settings.hosts import MISTRAL_HOSTS, SANDBOX, endpoints
from codestral_ls.settings.keys import Key, KeyRing, KeySearch, find_key
from codestral_ls.settings.layers import load
from codestral_ls.settings.masking import KeyFilter, mask
from codestral_ls.settings.model import Loaded, Problem, Settings, Timeouts
from codestral_ls.settings.table import SETTINGS, Setting, is_known

__all__ = [
    "MISTRAL_HOSTS",
    "SANDBOX",
    "SETTINGS",
    "Key",
    "KeyFilter",
    "KeyRing",
    "KeySearch",
    "Loaded",
    "Problem",
    "Setting",
    "Settings",
    "Timeouts",
    "describe",
    "endpoints",
    "find_key",
    "is_known",
    "load",
    "mask",
]
