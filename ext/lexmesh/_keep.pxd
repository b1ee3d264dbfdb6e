"""A message that outlives its buffer: one `bytes` with all that its envelope points into."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport Envelope, Pair, moved, within
from lexmesh._span cimport Span, span


cdef inline bytes keep(Envelope* kept, const Envelope* env, Decoder decoder):
    """Copies an envelope; the spans of `kept` point into what is returned: the message, then what the decoder
    unescaped, then a stamped source's name, then the metadata pairs."""
    cdef const uint8_t* scratch = decoder.scratch
    cdef Span stamp = env.source_node
    if within(stamp, env.raw.ptr, env.raw.len) or within(stamp, scratch, decoder.scratch_len):
        stamp.len = 0       # it came with the message
    cdef Py_ssize_t stamp_at = env.raw.len + decoder.scratch_len
    cdef Py_ssize_t pairs_at = (stamp_at + stamp.len + 7) & ~7
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, pairs_at + env.metadata_count * <Py_ssize_t>sizeof(Pair))
    cdef uint8_t* base = <uint8_t*>PyBytes_AS_STRING(raw)
    cdef Pair* pairs = <Pair*>(base + pairs_at)
    cdef Py_ssize_t i
    memcpy(base, env.raw.ptr, <size_t>env.raw.len)
    if decoder.scratch_len:     # else there may be no scratch yet, and memcpy takes no NULL
        memcpy(base + env.raw.len, scratch, <size_t>decoder.scratch_len)
    kept[0] = env[0]
    kept.raw = span(base, env.raw.len)
    if stamp.len:
        memcpy(base + stamp_at, stamp.ptr, <size_t>stamp.len)
        kept.source_node = span(base + stamp_at, stamp.len)
    else:
        kept.source_node = moved(env.source_node, env, base, scratch)
    kept.target_node = moved(env.target_node, env, base, scratch)
    kept.event_type = moved(env.event_type, env, base, scratch)
    kept.payload = moved(env.payload, env, base, scratch)
    kept.reply_to = moved(env.reply_to, env, base, scratch)
    kept.content_type = moved(env.content_type, env, base, scratch)
    kept.metadata = pairs
    for i in range(env.metadata_count):
        pairs[i].key = moved(env.metadata[i].key, env, base, scratch)
        pairs[i].value = moved(env.metadata[i].value, env, base, scratch)
    return raw
