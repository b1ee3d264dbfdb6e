"""What the kernel has counted of a process's TCP connections."""

import os
import socket
import struct
import sys

BYTES_RECEIVED = struct.Struct("@128xQ")
"""`tcpi_bytes_received` in `struct tcp_info` of linux/tcp.h, since Linux 4.1."""


def received_bytes() -> int:
    """Payload bytes that the open TCP connections of this process have received; Linux only."""
    assert sys.platform == "linux"
    return sum(map(_received, map(int, os.listdir("/proc/self/fd"))))


def _received(descriptor: int) -> int:
    try:
        if not os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
            return 0
        with socket.socket(fileno=os.dup(descriptor)) as one:
            if one.type != socket.SOCK_STREAM or one.family not in (socket.AF_INET, socket.AF_INET6):
                return 0
            info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED.size)
    except OSError:  # closed meanwhile
        return 0
    return int(BYTES_RECEIVED.unpack(info)[0])
