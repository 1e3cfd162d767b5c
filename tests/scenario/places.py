#!/usr/bin/env python3
"""Makes config/examples/web_analytics/tables/places.mmdb: a MaxMind DB that knows the addresses kept for documentation
(RFC 5737, RFC 3849), which `sluice generate web-analytics` uses. Format: maxmind.github.io/MaxMind-DB, version 2.0."""

import ipaddress
import struct
import sys

MAP, STRING, DOUBLE, UINT16, UINT32, UINT64, ARRAY = 7, 2, 3, 5, 6, 9, 11

# 203.0.113.128/25 isn't there: some addresses are always unknown.
PLACES = [
    ("192.0.2.0/25", "DE", "Germany", "Berlin", 52.52, 13.405, "Europe/Berlin"),
    ("192.0.2.128/25", "FR", "France", "Paris", 48.857, 2.352, "Europe/Paris"),
    ("198.51.100.0/24", "US", "United States", "San Francisco", 37.775, -122.419, "America/Los_Angeles"),
    ("203.0.113.0/25", "JP", "Japan", "Tokyo", 35.69, 139.692, "Asia/Tokyo"),
    ("2001:db8::/32", "NL", "Netherlands", "Amsterdam", 52.374, 4.89, "Europe/Amsterdam"),
]


def control(kind, size):
    assert size < 29 + 256
    low = min(size, 29)
    head = bytes([kind << 5 | low]) if kind < 8 else bytes([low, kind - 7])
    return head + (bytes([size - 29]) if low == 29 else b"")


def value(v, kind=UINT32):
    if isinstance(v, dict):
        return control(MAP, len(v)) + b"".join(value(k) + value(*(x if isinstance(x, tuple) else (x,))) for k, x in v.items())
    if isinstance(v, list):
        return control(ARRAY, len(v)) + b"".join(map(value, v))
    if isinstance(v, str):
        return control(STRING, len(v.encode())) + v.encode()
    if isinstance(v, float):
        return control(DOUBLE, 8) + struct.pack(">d", v)
    number = v.to_bytes((v.bit_length() + 7) // 8, "big")
    return control(kind, len(number)) + number


def record(code, country, city, latitude, longitude, zone):
    return value({
        "country": {"iso_code": code, "names": {"en": country}},
        "city": {"names": {"en": city}},
        "location": {"latitude": latitude, "longitude": longitude, "time_zone": zone},
    })


def build():
    nodes, data = [[None, None]], b""
    for network, *place in PLACES:
        net = ipaddress.ip_network(network)
        bits, length = int(net.network_address), net.prefixlen + (96 if net.version == 4 else 0)
        node = 0
        for depth in range(length):
            side = bits >> (127 - depth) & 1
            if depth == length - 1:
                nodes[node][side] = ("data", len(data))
            else:
                if nodes[node][side] is None:
                    nodes.append([None, None])
                    nodes[node][side] = len(nodes) - 1
                node = nodes[node][side]
        data += record(*place)

    def number(entry):
        if entry is None:
            return len(nodes)
        return entry if isinstance(entry, int) else entry[1] + len(nodes) + 16

    tree = b"".join(number(e).to_bytes(3, "big") for pair in nodes for e in pair)
    about = value({
        "binary_format_major_version": (2, UINT16),
        "binary_format_minor_version": (0, UINT16),
        "build_epoch": (1710928800, UINT64),
        "database_type": "Documentation-City",
        "description": {"en": "Addresses kept for documentation"},
        "ip_version": (6, UINT16),
        "languages": ["en"],
        "node_count": (len(nodes), UINT32),
        "record_size": (24, UINT16),
    })
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + about


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        file.write(build())
