"""Fields of a message that this version does not know, as a node of a newer one may send them.

What a relay passes on it has scanned: each such field of bytes is policed as if it were the message's payload. The bytes
stay where they are in the message, so they go on to others of its format; whatever writes the message anew leaves them out.
"""

from libc.stdint cimport uint8_t, uint64_t

from lexmesh._decode_proto cimport classify_payload, skip_value
from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport OPAQUE_BYTES, PLAIN_TEXT, PROTO, Envelope
from lexmesh._nsr cimport Scanner, Verdict
from lexmesh._span cimport OK, Span, Status, get_varint, is_utf8

cdef enum:
    LAST_KNOWN = 13     # field of an EventMessage
    LENGTH = 2          # wire type
    MOST_UNKNOWN = 8    # fields: each is scanned with all of the metadata


cdef Status decode_newer(Decoder decoder, Span raw, Envelope* env, Py_ssize_t* error_at) noexcept nogil:
    """Decodes a protobuf message that may have fields beyond the known ones."""
    cdef Status status
    decoder.takes_unknown = MOST_UNKNOWN
    status = decoder.decode(raw, PROTO, env, error_at)
    decoder.takes_unknown = 0
    return status


cdef bint allows_unknown(Scanner scanner, Decoder decoder, const Envelope* env, Verdict* verdict) noexcept nogil:
    """Whether the policy lets pass what is in the unknown fields of a message that has been decoded."""
    cdef const uint8_t* at = env.raw.ptr
    cdef const uint8_t* end = at + env.raw.len
    cdef uint64_t tag = 0
    cdef Span value
    while at < end:
        at += get_varint(at, end, &tag)
        if skip_value(<int>(tag & 7), &at, end, &value) != OK:
            return False
        if tag >> 3 > LAST_KNOWN and tag & 7 == LENGTH:
            if not allows_as_payload(scanner, decoder, env, value, verdict):
                return False
    return True


cdef bint allows_as_payload(Scanner scanner, Decoder decoder, const Envelope* env, Span value,
                            Verdict* verdict) noexcept nogil:
    cdef Envelope carrier = env[0]
    carrier.payload = value
    if classify_payload(decoder, &carrier) != OK:    # JSON that two parsers could read differently
        carrier.payload_kind = PLAIN_TEXT if is_utf8(value) else OPAQUE_BYTES
    return scanner.allows(&carrier, verdict)
