"""What the policy says of messages, recorded and counted."""

from collections.abc import Callable

from lexmesh._nsr import Scanner
from lexmesh._router import Endpoint, Router

class Police:
    """Asks the policy, and keeps account of what it refused."""

    router: Router
    scanner: Scanner
    auditor: Callable[[int, Endpoint, str, str, str, str, str, bool, int], None] | None
    def __init__(self, scanner: Scanner) -> None: ...
