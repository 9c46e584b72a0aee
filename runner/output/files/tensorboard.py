"""Event files of TensorBoard: records of protocol buffers, read here as far as they hold scalars. No package needed.

A record is its length (8 bytes), a checksum (4), an Event, and another checksum (4). Of an Event the fields `step` (2)
and `summary` (5) are read, of a Summary its values (1), of a Value `tag` (1), `simple_value` (2) and `tensor` (8).
"""

from __future__ import annotations

import struct

from runner.disk.reading import open_regular
from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.output.metric_files import Row

LARGEST = 1 << 16  # bytes of a record; what is larger is a picture or a graph
MOST = 1 << 26  # bytes of a file
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # how a field is written
FLOAT, DOUBLE = 1, 2  # the types of a tensor that are read


def rows(path: str) -> Iterator[Row]:
    """The scalars of each event. A record that was cut ends the file."""
    with open_regular(path, links=True) as file:
        while file.tell() < MOST and len(head := file.read(12)) == 12:
            (size,) = struct.unpack("<Q", head[:8])
            if not size:  # no event is empty: it is another kind of file
                return
            if size > LARGEST:
                file.seek(size + 4, 1)
                continue
            record = file.read(size + 4)
            if len(record) < size + 4:
                return
            values, step = _event(record[:-4])
            if values:
                yield values, step, None


def _event(record: bytes) -> tuple[dict[str, float], int]:
    step, values = 0, {}
    for field, value in _fields(record):
        if field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, bytes):
            for number, inner in _fields(value):
                if number == 1 and isinstance(inner, bytes) and (scalar := _scalar(inner)) is not None:
                    values[names.canonical(scalar[0])] = scalar[1]
    return values, step


def _scalar(record: bytes) -> tuple[str, float] | None:
    tag, found = "", None
    for field, value in _fields(record):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode(errors="replace")
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            (found,) = struct.unpack("<f", value)
        elif field == 8 and isinstance(value, bytes):
            found = _tensor(value)
    return (tag, found) if tag and found is not None else None


def _tensor(record: bytes) -> float | None:
    """The value of a tensor with one number."""
    fields = dict(_fields(record))
    kind, forms = fields.get(1), {FLOAT: ("<f", 5), DOUBLE: ("<d", 6)}
    if not isinstance(kind, int) or kind not in forms:
        return None
    form, field = forms[kind]
    content = fields.get(4) or fields.get(field)
    if not isinstance(content, bytes) or len(content) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, content)[0])


def _fields(record: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field. Raises ValueError for what is not a protocol buffer."""
    at = 0
    while at < len(record):
        key, at = _varint(record, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(record, at)
            yield key >> 3, value
            continue
        size = {EIGHT: 8, FOUR: 4}.get(kind)
        if kind == BYTES:
            size, at = _varint(record, at)
        if size is None or at + size > len(record):
            raise ValueError("is not a protocol buffer")
        yield key >> 3, record[at : at + size]
        at += size


def _varint(record: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(record) and shift < 70:
        byte = record[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("is not a protocol buffer")
