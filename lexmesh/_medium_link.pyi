"""One of several ways to a medium, on which what is said in one place must not overtake what is said in another."""

from lexmesh._stream_link import StreamLink

class MediumLink(StreamLink):
    @property
    def front_round(self) -> int: ...
