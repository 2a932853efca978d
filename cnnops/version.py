"""The version of cnnops, stated once."""

__version__ = "0.1.0"
