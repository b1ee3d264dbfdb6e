"""What a Status means in words, and the one place where it becomes an exception."""

from lexmesh.errors import MalformedError

from lexmesh._span cimport (
    BAD_ID, BAD_JSON, BAD_NUMBER, BAD_STRING, BAD_SUBJECT, BAD_TAG, BAD_UTF8, BAD_VARINT, BAD_WIRE_TYPE,
    DUPLICATE_KEY, LONE_SURROGATE, METADATA_NOT_TEXT, NO_MEMORY, NO_TYPE, NOT_AN_OBJECT, OUT_OF_RANGE,
    REPEATED_FIELD, RESERVED_TYPE, TOO_BIG, TOO_DEEP, TRAILING, TRUNCATED, UNKNOWN_FIELD, WRONG_TYPE, Status,
)

cdef dict REASONS = {
    TRUNCATED: "cut short",
    BAD_VARINT: "a varint is cut short or longer than 64 bits",
    BAD_TAG: "a field tag is out of range",
    BAD_WIRE_TYPE: "a field has the wrong wire type",
    REPEATED_FIELD: "a singular field is repeated",
    UNKNOWN_FIELD: "an unknown field",
    BAD_UTF8: "text that is not UTF-8",
    DUPLICATE_KEY: "a duplicate key",
    TOO_DEEP: "nested more than 64 levels deep",
    TOO_BIG: "larger than max_message_size",
    BAD_JSON: "not JSON",
    BAD_STRING: "a JSON string holds a control character or an unknown escape",
    LONE_SURROGATE: "a lone surrogate escape",
    BAD_NUMBER: "a number outside binary64",
    TRAILING: "bytes after the end of the value",
    NOT_AN_OBJECT: "not a JSON object",
    WRONG_TYPE: "a field has the wrong type",
    METADATA_NOT_TEXT: "metadata is not an object of strings",
    OUT_OF_RANGE: "a number or name is out of range",
    NO_TYPE: "no event type",
    BAD_SUBJECT: "the event type is not a subject: tokens between dots without spaces, control characters or wildcards",
    RESERVED_TYPE: "types that begin with _lexmesh. are reserved",
    BAD_ID: "the id is not source:epoch:seq of this source",
    NO_MEMORY: "out of memory",
}


cdef str reason_of(Status status):
    return <str>REASONS[status]


cdef object malformed(Status status, Py_ssize_t at):
    """The exception for a Status."""
    if status == NO_MEMORY:
        return MemoryError("lexmesh: out of memory")
    return MalformedError(reason_of(status), at)
