"""A policy that refuses nothing, for clients whose messages a gateway is to refuse."""

from lexmesh.nsr import NsrPolicy

LAX_TOML = """\
[[rule]]
name = "seen"
action = "flag"
scope = ["metadata keys", "metadata values"]
markers = ["force"]
"""

LAX = NsrPolicy.loads(LAX_TOML)
