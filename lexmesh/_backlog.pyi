"""Records of the messages that wait on one link."""

from lexmesh._router import Endpoint

class Backlog(Endpoint):
    """An endpoint whose messages wait."""

    @property
    def idle(self) -> bool: ...
