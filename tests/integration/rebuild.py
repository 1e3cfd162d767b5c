"""An event put together again from its row of an inferred lake: typed columns, JSON text, and `_rest`."""

import json
from datetime import datetime, timezone


def loose(value):
    """JSON without nulls, and without objects that hold nothing else."""
    if isinstance(value, dict):
        inner = {k: loose(v) for k, v in value.items() if v is not None}
        return {k: v for k, v in inner.items() if v is not None} or None
    return value


def merged(columns, rest):
    """`_rest` laid over the columns; a member is in one of them, never in both."""
    out = dict(columns)
    for k, v in rest.items():
        if out.get(k) is None:
            out[k] = v
        elif isinstance(out[k], dict) and isinstance(v, dict):
            out[k] = merged(out[k], v)
        else:
            raise AssertionError(f"{k} is in its column and in _rest")
    return out


def rebuilt(row, added=()):
    columns = {k: v for k, v in row.items() if k != "_rest" and k not in added}
    return merged(columns, json.loads(row["_rest"]) if row.get("_rest") else {})


def differences(original, got, path=""):
    """Where what came out differs from what was sent: paths with both values."""
    if isinstance(original, dict) and isinstance(got, dict):
        for k in original.keys() | got.keys():
            yield from differences(original.get(k), got.get(k), f"{path}/{k}")
        return
    if isinstance(got, str) and got != original:
        # A column that began with an array is JSON text, its strings with quotes; in one that widened to string
        # numbers are their text. Both are strings in Parquet.
        try:
            got = json.loads(got)
        except ValueError:
            pass
    elif isinstance(got, datetime) and isinstance(original, str):
        original = datetime.fromisoformat(original.replace("Z", "+00:00"))
        got = got.astimezone(timezone.utc)
    if isinstance(original, dict):
        original = loose(original)
    if isinstance(got, dict):
        got = loose(got)
    if original != got:
        yield path, original, got
