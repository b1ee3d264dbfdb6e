"""A JSON payload, walked with the path of where it stands; and what a key's value says."""

from ._nsr_text import TextScanner

class PayloadScanner(TextScanner): ...
