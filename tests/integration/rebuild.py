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


def same(original, got):
    """Equal in type, too: neither 1 and true, nor 1 and 1.0, nor null and an empty object."""
    return json.dumps(original, sort_keys=True) == json.dumps(got, sort_keys=True, default=repr)


def differences(original, got, path=""):
    """Where what came out differs from what was sent, as it was sent: paths with both values. Only a member that is
    null and one that isn't there are alike."""
    if isinstance(original, dict) and isinstance(got, dict):
        for k in original.keys() | got.keys():
            yield from differences(original.get(k), got.get(k), f"{path}/{k}")
        return
    if isinstance(got, str) and got != original and original is not None:
        # A column that began with an array is JSON text, of objects and strings, too; in one that widened to string
        # numbers are their text. Both are strings in Parquet. Either text is the whole value, as it came.
        try:
            good = same(original, json.loads(got))
        except ValueError:
            good = False
    elif isinstance(got, datetime) and isinstance(original, str):
        try:
            good = datetime.fromisoformat(original.replace("Z", "+00:00")) == got.astimezone(timezone.utc)
        except ValueError:
            good = False
    elif isinstance(got, float) and type(original) is int:
        good = original == got  # An integer in a column of doubles.
    else:
        good = same(original, got)
    if not good:
        yield path, original, got
