"""What a node takes in."""

from typing import Final

from lexmesh._nsr import Scanner
from lexmesh._police import Police
from lexmesh._router import Endpoint

INGRESS_NAMES: Final[tuple[str, ...]]

class Intake(Police):
    """Polices, routes and counts what one node takes in."""

    node_id: str
    max_message_size: int
    max_published: int
    trusts_links: bool
    floods: bool
    deepest: int
    thread: int
    origin: Endpoint
    awaited: set[str]
    reply_endpoint: Endpoint | None
    def __init__(self, scanner: Scanner, node_id: str, epoch: int, max_depth: int, max_message_size: int) -> None: ...

async def settled(result: object) -> object: ...
