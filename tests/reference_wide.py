"""The reference's UTF-16 and UTF-32."""

from reference_escape import pair_point, point_text
from reference_fold import is_plausible


def wide_forms(data: bytes) -> list[tuple[str, int]]:
    """The byte orders and sizes of a unit that some bytes may be read in."""
    if len(data) < 4 or not (0 in data or data[:2] in (b"\xff\xfe", b"\xfe\xff")):
        return []
    return [(order, size) for size in (2, 4) for order in ("little", "big") if _fits(units_of(data, order, size), size)]


def units_of(data: bytes, order: str, size: int) -> list[int]:
    whole = len(data) // size * size
    return [int.from_bytes(data[at : at + size], order) for at in range(0, whole, size)]  # type: ignore[arg-type]


def _fits(units: list[int], size: int) -> bool:
    if size == 4:
        return all(unit < 0x110000 and not 0xD800 <= unit <= 0xDFFF for unit in units)
    ascii_units = sum(0 < unit < 0x80 for unit in units)
    return units[0] == 0xFEFF or 0 < units[0] < 0x80 or ascii_units * 4 >= len(units)


def from_wide(data: bytes, order: str, size: int) -> bytes:
    text: list[bytes] = []
    high = 0  # a surrogate that the next unit may complete
    for unit in units_of(data, order, size):
        if high and 0xDC00 <= unit <= 0xDFFF:
            text[-1] = point_text(pair_point(high, unit))
            high = 0
        else:
            text.append(point_text(unit))
            high = unit if size == 2 and 0xD800 <= unit <= 0xDBFF else 0
    return b"".join(text)


def wide_texts(data: bytes) -> list[bytes]:
    texts = (from_wide(data, order, size) for order, size in wide_forms(data))
    return [text for text in texts if is_plausible(text)]
