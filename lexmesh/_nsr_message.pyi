"""The prefilter over a whole message: most are clean, and are known to be after one run over their text."""

from typing_extensions import disjoint_base

from ._nsr_payload import PayloadScanner

@disjoint_base
class MessageFilter(PayloadScanner): ...
