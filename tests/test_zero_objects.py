"""No Python object is made for a message that is only passed on: allocations are counted beneath the interpreter."""

import ctypes
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from raw_ws import BINARY, RawClient, eventually, frame, gateway, text
from requirements import absent
from strategies import field, message

# Wraps the allocator of objects and counts its calls.
COUNTER = r"""
#include <Python.h>
static PyMemAllocatorEx plain;
static unsigned long long calls;
static void *count_malloc(void *c, size_t n) { calls++; return plain.malloc(plain.ctx, n); }
static void *count_calloc(void *c, size_t n, size_t s) { calls++; return plain.calloc(plain.ctx, n, s); }
static void *count_realloc(void *c, void *p, size_t n) { calls++; return plain.realloc(plain.ctx, p, n); }
static void count_free(void *c, void *p) { plain.free(plain.ctx, p); }
void counter_start(void) {
    PyMemAllocatorEx counting = {NULL, count_malloc, count_calloc, count_realloc, count_free};
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &plain);
    calls = 0;
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &counting);
}
unsigned long long counter_stop(void) { PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &plain); return calls; }
"""

COUNT = 10_000


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Any:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform == "win32":
        pytest.skip("the counter is for gcc and clang")
    if compiler is None:
        absent("no C compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("counter")
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        absent("no Python.h: apt-get install python3-dev")
    subprocess.run([compiler, "-shared", "-fPIC", "-I", include, "-o", library, source], check=True)
    counter = ctypes.PyDLL(str(library))
    counter.counter_stop.restype = ctypes.c_ulonglong
    return counter


async def allocations(
    counter: Any, subprotocol: str, wire: bytes, count: int, handler: Any = None, group: str = ""
) -> int:
    """How often the interpreter allocated while a server took `count` events in and passed them on."""
    async with gateway(max_message_size=4 << 20, overflow_bytes=64 << 20) as server:
        if handler is not None:
            server.subscribe("t.x", handler)
        subscriber = await RawClient.connect(server.port, subprotocol=subprotocol)
        subscriber.send(text({"type": "_lexmesh.subscribe", "data": {"subjects": ["t.>"], "group": group}}))
        while b"_lexmesh.subscribed" not in (await subscriber.frame()).payload:
            pass
        publisher = await RawClient.connect(server.port, subprotocol=subprotocol)
        # What the test's own client would read must not be counted.
        subscriber.writer.transport.pause_reading()
        counter.counter_start()
        try:
            publisher.writer.write(wire)
            await eventually(lambda: server.ledger()["ingress"]["routed"] >= count)
        finally:
            made = counter.counter_stop()
        subscriber.writer.transport.resume_reading()
        ledger = server.ledger()
        assert (ledger["ingress"]["routed"], ledger["taken"]) == (count, count)
        await publisher.aclose()
        await subscriber.aclose()
    return int(made)


def proto_batch(count: int) -> bytes:
    event = message(event_type="t.x", payload='{"temperature":22.5}', metadata={"sensor": "s1"})
    return frame(BINARY, field(1, event) * count)


def json_frames(count: int) -> bytes:
    return text({"type": "t.x", "data": {"temperature": 22.5}, "metadata": {"sensor": "s1"}}) * count


@pytest.mark.parametrize(("subprotocol", "wire"), [("lexmesh.v1.proto", proto_batch), ("lexmesh.v1.json", json_frames)])
async def test_allocations_do_not_grow_with_the_messages(counter: Any, subprotocol: str, wire: Any) -> None:
    few = await allocations(counter, subprotocol, wire(COUNT // 10), COUNT // 10)
    many = await allocations(counter, subprotocol, wire(COUNT), COUNT)
    assert many - few < COUNT / 20, (few, many)


async def test_nor_for_a_member_of_a_queue_group(counter: Any) -> None:
    few = await allocations(counter, "lexmesh.v1.proto", proto_batch(COUNT // 10), COUNT // 10, group="workers")
    many = await allocations(counter, "lexmesh.v1.proto", proto_batch(COUNT), COUNT, group="workers")
    assert many - few < COUNT / 20, (few, many)


async def test_with_a_handler_they_do(counter: Any) -> None:
    """The check above can fail: a handler gets an event of its own for each message."""
    assert await allocations(counter, "lexmesh.v1.proto", proto_batch(COUNT), COUNT, lambda _event: None) >= COUNT
