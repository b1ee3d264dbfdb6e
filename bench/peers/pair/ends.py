"""How an end talks to the bench: one JSON object a line on stdout."""

import json
import time
from typing import Any


def say(**facts: Any) -> None:
    """Tells the bench."""
    print(json.dumps(facts), flush=True)


def say_ready() -> None:
    """The receiver is subscribed: the sender may start."""
    say(ready=True)


def say_started() -> None:
    """The sender is connected and sends its first message now."""
    say(started_ns=time.monotonic_ns())
