"""Fields of a message that this version does not know: taken from nodes alone, and policed."""

from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport Envelope
from lexmesh._nsr cimport Scanner, Verdict
from lexmesh._span cimport Span, Status


cdef Status decode_newer(Decoder decoder, Span raw, Envelope* env, Py_ssize_t* error_at) noexcept nogil
cdef bint allows_unknown(Scanner scanner, Decoder decoder, const Envelope* env, Verdict* verdict) noexcept nogil
