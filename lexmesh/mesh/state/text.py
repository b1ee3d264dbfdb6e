"""Values as JSON text that is kept."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["kept_text"]


def kept_text(value: Any) -> bytes:
    """The JSON text of a value, in no more memory than it has bytes: orjson's own holds on to a buffer of 4 KiB.

    Raises:
        TypeError: if JSON cannot say the value.
    """
    return bytes(memoryview(orjson.dumps(value)))
