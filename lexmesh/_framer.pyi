"""What leaves on one link as frames."""

from lexmesh._sender import Sender

class Framer(Sender):
    """A link's frames that have not left; when they do is for a subclass."""
