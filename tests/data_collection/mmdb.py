"""A small file in MaxMind's format, written by its published description (https://maxmind.github.io/MaxMind-DB/)."""

import ipaddress
from pathlib import Path

MARK = b"\xab\xcd\xefMaxMind.com"


class _Number(int):
    """An unsigned integer of one of the format's kinds."""

    kind: int


def _number(kind: int, value: int) -> _Number:
    number = _Number(value)
    number.kind = kind
    return number


def write(path: Path, places: dict[str, dict]) -> Path:
    """Write networks (IPv4 or IPv6) and what is known of each; 24-bit records, one tree for both kinds."""
    nodes: list[list] = [[None, None]]
    data, offsets = b"", {}
    for network, value in places.items():
        parsed = ipaddress.ip_network(network)
        shift = 96 if parsed.version == 4 else 0  # IPv4 lives under ::/96
        bits = f"{int(parsed.network_address):0128b}"[: parsed.prefixlen + shift]
        offsets[network] = len(data)
        data += _encode(value)
        node = 0
        for bit in map(int, bits[:-1]):
            if nodes[node][bit] is None:
                nodes.append([None, None])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][int(bits[-1])] = network
    count = len(nodes)

    def record(value) -> bytes:
        number = count if value is None else count + 16 + offsets[value] if isinstance(value, str) else value
        return number.to_bytes(3, "big")

    tree = b"".join(record(left) + record(right) for left, right in nodes)
    facts = {
        "node_count": _number(6, count),
        "record_size": _number(5, 24),
        "ip_version": _number(5, 6),
        "database_type": "Test-City",
        "languages": ["en"],
        "binary_format_major_version": _number(5, 2),
        "binary_format_minor_version": _number(5, 0),
        "build_epoch": _number(9, 1),
        "description": {"en": "test"},
    }
    partial = path.with_suffix(".partial")
    partial.write_bytes(tree + b"\0" * 16 + data + MARK + _encode(facts))
    partial.replace(path)
    return path


def _encode(value) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return _control(2, len(raw)) + raw
    if isinstance(value, _Number):
        raw = value.to_bytes(8, "big").lstrip(b"\0")
        return (_control(value.kind, len(raw)) if value.kind < 8 else bytes([len(raw), value.kind - 7])) + raw
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(_encode, value))
    return _control(7, len(value)) + b"".join(_encode(key) + _encode(inner) for key, inner in value.items())


def _control(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size])
