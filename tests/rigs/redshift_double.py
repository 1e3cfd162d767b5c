#!/usr/bin/env python3
"""A test double of Amazon Redshift: a PostgreSQL wire-protocol proxy over a real PostgreSQL 15.

Clients (libpq, psql, psycopg ...) connect here as if to a Redshift cluster. Most statements
pass through to PostgreSQL; what Redshift does otherwise is done, rewritten or refused here:

  * COPY t FROM 's3://...' FORMAT AS PARQUET fetches the objects from an S3 endpoint and loads
    them by position, in the client's own session and transaction.
  * What Redshift lacks is refused with Redshift's own error texts where they are known.
  * CREATE TABLE loses DISTKEY/SORTKEY/ENCODE and PRIMARY KEY/UNIQUE (Redshift does not
    enforce them); SUPER, HLLSKETCH, VARBYTE, VARCHAR(MAX), IDENTITY(a,b) are mapped.
  * It says it is server 8.0.2, hides what servers after 8.0 report, answers tags without
    row counts where Redshift does, reads 'a\\b' as an escape and does not know E'...'.
  * One transaction writes a table at a time; conflicts come as Redshift's errors.
  * Faults can be injected: SELECT rsd_inject(kind, statement_regex [, times [, argument]]); rsd_left() tells how
    many are still to be met.

Layout of the file: settings, wire helpers, SQL scanner, statement rules (classify), COPY
parser, loader, backend connection, client session, server.  README.md says how to use it
and what is not emulated.  Facts about Redshift carry the title of the page they come from.
"""
import asyncio
import base64
import hashlib
import hmac
import http.client
import io
import json
import os
import re
import secrets
import signal
import ssl
import struct
import sys
import time
import urllib.parse

from s3_client import S3, S3Error

# ------------------------------------------------------------------------------ settings


def env(name, default):
    return os.environ.get(name) or default


LISTEN_HOST = env("RSD_HOST", "127.0.0.1")
LISTEN_PORT = int(env("RSD_PORT", "15439"))
USER = env("RSD_USER", "sluice")               # what a client must say
PASSWORD = env("RSD_PASSWORD", "sluice")
IAM_PASSWORD = env("RSD_IAM_PASSWORD", "")     # of users IAM:…, IAMA:…, IAMR:…; empty: any
DBNAME = env("RSD_DBNAME", "dev")              # Redshift's first database is called dev
AUTH = env("RSD_AUTH", "md5")                  # md5 | password | trust | sha256 (Redshift's own, 13)
SSL_MODE = env("RSD_SSL", "allow")             # allow | require (as require_ssl=true) | off
TLS_CERT, TLS_KEY = env("RSD_TLS_CERT", ""), env("RSD_TLS_KEY", "")
ISOLATION = env("RSD_ISOLATION", "snapshot")   # snapshot (default of new databases) | serializable
LOADERR_TABLE = env("RSD_LOADERR_TABLE", "stl_load_errors")  # serverless: sys_load_error_detail
PG_URL = env("RSD_PG", env("SLUICE_TEST_PG", "postgresql://sluice:sluice@127.0.0.1:15432/sluice"))
S3_ENDPOINT = env("SLUICE_TEST_S3_ENDPOINT", "")
REGION = env("AWS_REGION", env("AWS_DEFAULT_REGION", "us-east-1"))
LOG = env("RSD_LOG", "") not in ("", "0")

BUILD = "1.0.51304"
VERSION = ("PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 "
           "(Red Hat 3.4.2-6.fc3), Redshift " + BUILD)
MAX_STATEMENT = 16 * 1024 * 1024               # "INSERT": 16 MB a statement
CONTEXT_MAX = 255                              # an error's context line is cut short like this


def log(*a):
    if LOG:
        print(time.strftime("%H:%M:%S"), *a, file=sys.stderr, flush=True)


# -------------------------------------------------------------------------- wire helpers


class PgError(Exception):
    """An ErrorResponse: fields is {'S': severity, 'C': sqlstate, 'M': message, ...}."""

    def __init__(self, code, message, detail=None, severity="ERROR", **more):
        super().__init__(message)
        self.fields = {"S": severity, "C": code, "M": message}
        if detail is not None:
            self.fields["D"] = detail
        self.fields.update(more)
        self.from_backend = False      # True: the backend's transaction has failed already


class Drop(Exception):
    """Close the client's connection without a word."""


def msg(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def z(s):
    return (s.encode("utf-8", "surrogateescape") if isinstance(s, str) else s) + b"\0"


def fields_body(fields):
    return b"".join(k.encode() + z(v) for k, v in fields.items()) + b"\0"


def parse_fields(body):
    out = {}
    for f in body.split(b"\0"):
        if f:
            out[chr(f[0])] = f[1:].decode("utf-8", "replace")
    return out


def take_z(body, at=0):
    end = body.index(b"\0", at)
    return body[at:end].decode("utf-8", "surrogateescape"), end + 1


# --------------------------------------------------------------------------- SQL scanner

TOKEN = re.compile(r"""
   (?P<ws>(?:\s+|--[^\n]*|/\*.*?\*/)+)
 | (?P<str>'(?:[^'\\]|''|\\.)*')                      # a backslash escapes: 8.0 has no
 | (?P<qword>"(?:[^"]|"")*")                          #   standard_conforming_strings
 | (?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
 | (?P<param>\$\d+)
 | (?P<num>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
 | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
 | (?P<op>::|<=|>=|<>|!=|\|\||.)
""", re.S | re.X)


class Tok:
    """One token with the white space before it, so that a changed list still reads well."""
    __slots__ = ("kind", "text", "lead", "up", "pos")

    def __init__(self, kind, text, lead=" ", pos=0):
        self.kind, self.text, self.lead, self.pos = kind, text, lead, pos
        self.up = text.upper() if kind == "word" else text

    @property
    def name(self):
        """As an identifier. Redshift folds even a quoted name to lower case ("Names and identifiers")."""
        if self.kind == "qword":
            return self.text[1:-1].replace('""', '"').lower()
        return self.text.lower()

    @property
    def value(self):
        """As a string literal's value."""
        s = self.text[1:-1].replace("''", "'")
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), s, flags=re.S)


def split_sql(sql):
    """The statements of a query string, each a list of tokens, empty ones left out."""
    out, cur, lead = [], [], ""
    for m in TOKEN.finditer(sql):
        kind = m.lastgroup if m.lastgroup != "tag" else "dollar"
        if kind == "ws":
            lead += m[0]
        elif m[0] == ";":
            if cur:
                out.append(cur)
            cur, lead = [], ""
        else:
            cur.append(Tok(kind, m[0], lead, m.start()))
            lead = ""
    if cur:
        out.append(cur)
    return out


def join(toks):
    return "".join(t.lead + t.text for t in toks).strip()


def raw(text):
    return Tok("raw", text)


def close_paren(toks, i):
    """Index of the ')' that closes the '(' at i."""
    depth = 0
    for j in range(i, len(toks)):
        if toks[j].text == "(":
            depth += 1
        elif toks[j].text == ")":
            depth -= 1
            if depth == 0:
                return j
    raise PgError("42601", "syntax error at end of input")


def split_commas(toks):
    out, cur, depth = [], [], 0
    for t in toks:
        depth += (t.text == "(") - (t.text == ")")
        if t.text == "," and depth == 0:
            out.append(cur)
            cur = []
        else:
            cur.append(t)
    out.append(cur)
    return out


def is_name(t):
    return t.kind in ("word", "qword")


def quote_ident(s):
    return '"' + s.replace('"', '""') + '"'


def quote_lit(s):
    return "'" + s.replace("\\", "\\\\").replace("'", "''") + "'"      # backslash escapes are on


# ------------------------------------------------------------------------ statement rules


class Plan:
    """What to do with one statement."""
    kind = "pass"

    def __init__(self, sql, first="", locks=(), tag=None, **kw):
        self.sql, self.first, self.locks, self.tag = sql, first, list(locks), tag
        self.source = sql            # the client's own text, for fault injection
        self.__dict__.update(kw)


class Virtual(Plan):
    """Not sent to the backend as it is: steps (backend statements), then a tag."""
    kind = "virtual"


# "Reserved words": may name a column only in double quotes.
RESERVED = set("""AES128 AES256 ALL ALLOWOVERWRITE ANALYSE ANALYZE AND ANY ARRAY AS ASC AUTHORIZATION AZ64
BACKUP BETWEEN BINARY BLANKSASNULL BOTH BYTEDICT BZIP2 CASE CAST CHECK COLLATE COLUMN CONNECT CONSTRAINT
CREATE CREDENTIALS CROSS CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURRENT_USER_ID DEFAULT
DEFERRABLE DEFLATE DEFRAG DELTA DELTA32K DESC DISABLE DISTINCT DO ELSE EMPTYASNULL ENABLE ENCODE ENCRYPT
ENCRYPTION END EXCEPT EXPLICIT FALSE FOR FOREIGN FREEZE FROM FULL GLOBALDICT256 GLOBALDICT64K GRANT GROUP
GZIP HAVING IDENTITY IGNORE ILIKE IN INITIALLY INNER INTERSECT INTERVAL INTO IS ISNULL JOIN LANGUAGE LEADING
LEFT LIKE LIMIT LOCALTIME LOCALTIMESTAMP LUN LUNS LZO LZOP MINUS MOSTLY16 MOSTLY32 MOSTLY8 NATURAL NEW NOT
NOTNULL NULL NULLS OFF OFFLINE OFFSET OID OLD ON ONLY OPEN OR ORDER OUTER OVERLAPS PARALLEL PARTITION PERCENT
PERMISSIONS PIVOT PLACING PRIMARY RAW READRATIO RECOVER REFERENCES REJECTLOG RESORT RESPECT RESTORE RIGHT
SELECT SESSION_USER SIMILAR SNAPSHOT SOME SYSDATE SYSTEM TABLE TAG TDES TEXT255 TEXT32K THEN TIMESTAMP TO TOP
TRAILING TRUE TRUNCATECOLUMNS UNION UNIQUE UNNEST UNPIVOT USER USING VERBOSE WALLET WHEN WHERE WITH
WITHOUT""".split())

# "Unsupported PostgreSQL data types": those that 8.0 had are 'unsupported', later ones do not exist.
TYPES_UNSUPPORTED = set("""BYTEA MONEY INET CIDR MACADDR BIT VARBIT POINT LINE LSEG BOX PATH POLYGON CIRCLE
SERIAL SERIAL4 SERIAL8 BIGSERIAL OID NAME""".split())
TYPES_MISSING = set("""JSON JSONB UUID XML SMALLSERIAL SERIAL2 HSTORE TSVECTOR TSQUERY INT4RANGE INT8RANGE
NUMRANGE TSRANGE TSTZRANGE DATERANGE CITEXT PG_LSN MACADDR8 JSONPATH""".split())

# "Unsupported PostgreSQL functions", and functions that came after 8.0.
FUNCS_MISSING = set("""STRING_AGG ARRAY_AGG CLOCK_TIMESTAMP STATEMENT_TIMESTAMP TRANSACTION_TIMESTAMP
GEN_RANDOM_UUID UUID_GENERATE_V4 PG_SLEEP JSON_BUILD_OBJECT JSONB_BUILD_OBJECT TO_JSON TO_JSONB ROW_TO_JSON
JSON_AGG JSONB_AGG JSONB_SET JSON_ARRAY_ELEMENTS JSONB_ARRAY_ELEMENTS WIDTH_BUCKET PG_NOTIFY
TXID_CURRENT PG_CURRENT_XACT_ID ENCODE REGEXP_MATCHES REGEXP_SPLIT_TO_TABLE FORMAT MAKE_TIMESTAMP
TO_REGCLASS PG_ADVISORY_LOCK PG_ADVISORY_XACT_LOCK PG_TRY_ADVISORY_LOCK PG_TRY_ADVISORY_XACT_LOCK
PG_ADVISORY_UNLOCK PG_ADVISORY_UNLOCK_ALL PG_ADVISORY_LOCK_SHARED PG_TRY_ADVISORY_LOCK_SHARED""".split())
FUNCS_OURS = set("""VERSION GETDATE JSON_PARSE JSON_SERIALIZE JSON_EXTRACT_PATH_TEXT IS_VALID_JSON
HLL_CARDINALITY PG_LAST_COPY_ID PG_LAST_COPY_COUNT LEN""".split())
TABLES_OURS = set("""STL_LOAD_ERRORS SYS_LOAD_ERROR_DETAIL STL_ERROR SVL_S3LOG STL_LOAD_COMMITS
STV_DB_ISOLATION_LEVEL PG_TABLE_DEF""".split())

# Settings that 8.0.2 does not have, and Redshift settings that PostgreSQL does not.
GUC_MISSING = set("""server_version_num lock_timeout idle_in_transaction_session_timeout idle_session_timeout
synchronous_commit bytea_output row_security jit session_replication_role intervalstyle temp_file_limit
xmloption gin_fuzzy_search_limit transaction_timeout in_hot_standby parallel_setup_cost""".split())
GUC_REDSHIFT = set("""query_group wlm_query_slot_count enable_result_cache_for_session analyze_threshold_percent
enable_case_sensitive_identifier downcase_delimited_identifier describe_field_name_in_uppercase
error_on_nondeterministic_update json_serialization_enable json_serialization_parse_nested_strings
json_parse_truncate_strings navigate_super_null_on_error parse_super_null_on_error spectrum_enable_pseudo_columns
spectrum_query_maxerror activate_aqua enable_numeric_rounding enable_vacuum_boost use_fips_ssl
default_geometry_encoding max_cursor_result_set_size mv_enable_aqmv_for_session cast_super_null_on_error
stored_proc_log_min_messages query_priority""".split())

NOT_ON_TABLES = 'SQL command "%s" not supported on Redshift tables.'


def syntax_error(toks, t, sql=None):
    """Redshift adds a context to the classic text: ... in context "...", at line 1, column 9."""
    sql = sql if sql is not None else join(toks)
    at = max(t.pos - toks[0].pos, 0)
    upto = sql[:at]
    line, col = upto.count("\n") + 1, at - (upto.rfind("\n") + 1) + 1
    context = sql[max(0, at - 24):at + len(t.text)].replace("\n", " ")
    return PgError("42601", 'syntax error at or near "%s" in context "%s", at line %d, column %d'
                   % (t.text, context, line, col))


def not_on_tables(toks):
    return PgError("0A000", NOT_ON_TABLES % join(toks))


def take_name(toks, i):
    """A possibly qualified name at i: ([parts], next index)."""
    if i >= len(toks):
        raise PgError("42601", "syntax error at end of input")
    if not is_name(toks[i]):
        raise syntax_error(toks, toks[i])
    parts = [toks[i].name]
    i += 1
    while i + 1 < len(toks) and toks[i].text == "." and is_name(toks[i + 1]):
        parts.append(toks[i + 1].name)
        i += 2
    return parts, i


def qname(parts):
    return ".".join(quote_ident(p) for p in parts[-2:])


def word(toks, i):
    return toks[i].up if 0 <= i < len(toks) and toks[i].kind == "word" else ""


# -- types and columns --------------------------------------------------------------------


def take_type(toks, i):
    """A column type at i: (base in capitals, [arguments], next index)."""
    base, i = word(toks, i) or toks[i].name.upper(), i + 1
    if base in ("CHARACTER", "BINARY", "BIT", "NATIONAL") and word(toks, i) in ("VARYING", "CHARACTER", "CHAR"):
        base, i = base + " " + word(toks, i), i + 1
    elif base == "DOUBLE" and word(toks, i) == "PRECISION":
        base, i = "DOUBLE PRECISION", i + 1
    args = []
    if i < len(toks) and toks[i].text == "(":
        j = close_paren(toks, i)
        args = [t.text for t in toks[i + 1:j] if t.text != ","]
        i = j + 1
    if base in ("TIMESTAMP", "TIME") and word(toks, i) in ("WITH", "WITHOUT") and word(toks, i + 1) == "TIME":
        base += " WITH TIME ZONE" if word(toks, i) == "WITH" else ""
        i += 3
    array = False
    while i + 1 < len(toks) and toks[i].text == "[":
        while i < len(toks) and toks[i].text != "]":
            i += 1
        i, array = i + 1, True
    if word(toks, i) == "ARRAY":
        i, array = i + 1, True
    return base, args, array, i


def map_type(base, args, array, where):
    """PostgreSQL's type for a Redshift type, and the length in bytes to check, or an error."""
    if array:
        raise PgError("0A000", 'Column "%s" has unsupported type "%s[]".' % (where, base.lower()))
    if base in TYPES_UNSUPPORTED or base == "BIT VARYING":
        raise PgError("0A000", 'Column "%s" has unsupported type "%s".' % (where, base.lower()))
    if base in TYPES_MISSING:
        raise PgError("42704", 'type "%s" does not exist' % base.lower())
    if base in ("SUPER", "HLLSKETCH"):
        return "rs_sys." + base.lower(), None
    if base in ("VARBYTE", "VARBINARY", "BINARY VARYING"):
        return "rs_sys.varbyte", None
    if base in ("VARCHAR", "CHARACTER VARYING", "NVARCHAR", "TEXT"):     # "Character types"
        n = 256 if not args or base == "TEXT" else 65535 if args[0].upper() == "MAX" else int(args[0])
        if n > 65535:
            raise PgError("22023", "length for type varchar cannot exceed 65535")
        return "varchar(%d)" % n, n
    if base in ("CHAR", "CHARACTER", "NCHAR", "BPCHAR"):
        n = (256 if base == "BPCHAR" else 1) if not args else 4096 if args[0].upper() == "MAX" else int(args[0])
        if n > 4096:
            raise PgError("22023", "length for type character cannot exceed 4096")
        return "char(%d)" % n, None
    if base in ("DECIMAL", "NUMERIC"):                                   # default (18,0): "Numeric types"
        p, s = int(args[0]) if args else 18, int(args[1]) if len(args) > 1 else 0
        if not 1 <= p <= 38:
            raise PgError("22023", "NUMERIC precision %d must be between 1 and 38" % p)
        return "numeric(%d,%d)" % (p, s), None
    if base == "DATETIME":
        return "timestamp", None
    if base in ("TIMESTAMP", "TIME"):
        return base.lower(), None
    return base.lower() + ("(%s)" % ",".join(args) if args else ""), None


COLUMN_ENDS = {"ENCODE", "DISTKEY", "SORTKEY", "PRIMARY", "UNIQUE", "REFERENCES", "CONSTRAINT", "NOT", "NULL",
               "DEFAULT", "IDENTITY", "GENERATED", "COLLATE", "CHECK"}


def column_sql(item, table, all_toks):
    """One column definition: (SQL, name)."""
    t = item[0]
    if not is_name(t) or (t.kind == "word" and t.up in RESERVED):
        raise syntax_error(all_toks, t)
    if len(item) < 2:
        raise PgError("42601", 'syntax error at or near ","')
    name = t.name
    base, args, array, i = take_type(item, 1)
    pg, nbytes = map_type(base, args, array, table + "." + name)
    out = [quote_ident(name), pg]
    while i < len(item):
        w = word(item, i)
        if w == "ENCODE" or w == "COLLATE" or w == "CONSTRAINT":
            i += 2
        elif w in ("DISTKEY", "SORTKEY", "UNIQUE", "NULL"):
            i += 1
        elif w == "PRIMARY":                 # informational, but the column is not null
            out.append("NOT NULL")
            i += 2
        elif w == "NOT":
            out.append("NOT NULL")
            i += 2
        elif w == "REFERENCES":
            _, i = take_name(item, i + 1)
            if i < len(item) and item[i].text == "(":
                i = close_paren(item, i) + 1
        elif w == "DEFAULT":
            j = i + 1
            while j < len(item) and not (item[j].kind == "word" and item[j].up in COLUMN_ENDS and j > i + 1):
                j = close_paren(item, j) + 1 if item[j].text == "(" else j + 1
            out.append("DEFAULT " + join(general(item[i + 1:j])))
            i = j
        elif w == "IDENTITY" or (w == "GENERATED" and word(item, i + 1) == "BY"):
            how = "ALWAYS" if w == "IDENTITY" else "BY DEFAULT"
            i += 1 if w == "IDENTITY" else 5     # GENERATED BY DEFAULT AS IDENTITY
            if i >= len(item) or item[i].text != "(":
                raise syntax_error(all_toks, item[min(i, len(item) - 1)])
            j = close_paren(item, i)
            seed, step = [x.text for x in item[i + 1:j] if x.text != ","]
            out.append("GENERATED %s AS IDENTITY (START WITH %s INCREMENT BY %s)" % (how, seed, step))
            i = j + 1
        elif w == "CHECK":
            raise PgError("0A000", "CREATE TABLE CHECK constraint is not supported")
        else:
            raise syntax_error(all_toks, item[i])
    if nbytes:                               # VARCHAR(n) counts bytes, PostgreSQL's counts characters
        out.append("CONSTRAINT %s CHECK (octet_length(%s) <= %d)"
                   % (quote_ident("rsd_len_%d_%s" % (nbytes, name)), quote_ident(name), nbytes))
    return " ".join(out), name


def table_attributes(toks, i, all_toks):
    """Skips BACKUP, DISTSTYLE, DISTKEY, SORTKEY, ENCODE AUTO; returns the index after them."""
    while i < len(toks):
        w = word(toks, i)
        if w in ("BACKUP", "DISTSTYLE"):
            i += 2
        elif w in ("COMPOUND", "INTERLEAVED"):
            i += 1
        elif w in ("DISTKEY", "SORTKEY", "ENCODE"):
            i = i + 2 if word(toks, i + 1) == "AUTO" else close_paren(toks, i + 1) + 1 \
                if i + 1 < len(toks) and toks[i + 1].text == "(" else i + 1
        elif w == "AS":
            return i
        else:
            raise syntax_error(all_toks, toks[i])
    return i


def create_table(toks, i):
    """CREATE [TEMP] TABLE ...; i is just after TABLE."""
    head = "CREATE " + ("TEMP " if {"TEMP", "TEMPORARY"} & {t.up for t in toks[:i]} else "") + "TABLE "
    if word(toks, i) == "IF":
        head, i = head + "IF NOT EXISTS ", i + 3
    parts, i = take_name(toks, i)
    head += qname(parts)
    if i < len(toks) and toks[i].text == "(":
        end = close_paren(toks, i)
        after = table_attributes(toks, end + 1, toks)
        if after < len(toks):                # CREATE TABLE t (a, b) ... AS SELECT
            cols = join(toks[i:end + 1])
            return Plan("%s %s AS %s" % (head, cols, join(general(toks[after + 1:]))), "CREATE TABLE")
        items, not_null = [], set()
        for item in split_commas(toks[i + 1:end]):
            w = word(item, 0)
            j = 2 if w == "CONSTRAINT" else 0
            w = word(item, j)
            if w in ("PRIMARY", "UNIQUE", "FOREIGN"):
                if w == "PRIMARY":
                    not_null |= {t.name for t in item[j + 2:] if is_name(t)}
            elif w == "CHECK":
                raise PgError("0A000", "CREATE TABLE CHECK constraint is not supported")
            elif w == "LIKE":
                src, _ = take_name(item, 1)
                items.append(("LIKE %s INCLUDING CONSTRAINTS%s" % (
                    qname(src), " INCLUDING DEFAULTS" if "INCLUDING" in {t.up for t in item} else ""), None))
            else:
                items.append(column_sql(item, parts[-1], toks))
        sql = ", ".join(s + (" NOT NULL" if n in not_null and "NOT NULL" not in s else "") for s, n in items)
        return Plan("%s (%s)" % (head, sql), "CREATE TABLE")
    after = table_attributes(toks, i, toks)  # CREATE TABLE t DISTSTYLE EVEN AS SELECT
    if after >= len(toks):
        raise PgError("42601", "syntax error at end of input")
    return Plan("%s AS %s" % (head, join(general(toks[after + 1:]))), "CREATE TABLE")


def alter_table(toks):
    i = 4 if word(toks, 2) == "IF" else 2
    parts, i = take_name(toks, i)
    rest, w, w1 = toks[i:], word(toks, i), word(toks, i + 1)
    if w == "APPEND":
        raise PgError("0A000", "ALTER TABLE APPEND is not emulated by the Redshift double")
    if w == "ADD" and w1 in ("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN"):
        return Virtual(None, "ALTER TABLE", tag="ALTER TABLE", steps=[])
    if w == "ADD":
        j = 2 if w1 == "COLUMN" else 1
        if word(rest, j) == "IF":            # ADD COLUMN IF NOT EXISTS is PostgreSQL's
            raise syntax_error(toks, rest[j + 1])
        items = split_commas(rest[j:])
        if len(items) > 1:                   # one column a statement: "ALTER TABLE"
            raise syntax_error(toks, items[1][0])
        return Plan("ALTER TABLE %s ADD COLUMN %s" % (qname(parts), column_sql(items[0], parts[-1], toks)[0]),
                    "ALTER TABLE", [qname(parts)])
    if w == "ALTER":
        if w1 in ("DISTSTYLE", "DISTKEY", "SORTKEY", "COMPOUND", "INTERLEAVED", "ENCODE") or \
                "ENCODE" in {t.up for t in rest}:
            return Virtual(None, "ALTER TABLE", tag="ALTER TABLE", steps=[])
        j = 2 if w1 == "COLUMN" else 1
        col = rest[j].name
        if word(rest, j + 1) == "TYPE":
            base, args, array, _ = take_type(rest, j + 2)
            pg, nbytes = map_type(base, args, array, parts[-1] + "." + col)
            t = qname(parts)
            steps = ["""DO $rsd$ DECLARE c name; BEGIN FOR c IN SELECT conname FROM pg_constraint
                        WHERE conrelid = %s::regclass AND conname ~ %s LOOP EXECUTE
                        format('ALTER TABLE %s DROP CONSTRAINT %%I', c); END LOOP; END $rsd$"""
                     % (quote_lit(t), quote_lit("^rsd_len_[0-9]+_" + col + "$"), t),
                     "ALTER TABLE %s ALTER COLUMN %s TYPE %s" % (t, quote_ident(col), pg)]
            if nbytes:
                steps.append("ALTER TABLE %s ADD CONSTRAINT %s CHECK (octet_length(%s) <= %d)" % (
                    t, quote_ident("rsd_len_%d_%s" % (nbytes, col)), quote_ident(col), nbytes))
            return Virtual(None, "ALTER TABLE", tag="ALTER TABLE", steps=steps,
                           no_block="ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
    return Plan(join(general(toks)), "ALTER TABLE")


# -- other statements ----------------------------------------------------------------------


def general(toks):
    """Checks and changes that hold in any statement; returns the new tokens."""
    out = []
    for i, t in enumerate(toks):
        nxt = toks[i + 1] if i + 1 < len(toks) else None
        prev = toks[i - 1] if i else None
        if t.kind == "qword":
            out.append(Tok("qword", quote_ident(t.name), t.lead, t.pos))
            continue
        if t.kind != "word":
            out.append(t)
            continue
        # E'..' came with 8.1; libpq's PQescapeLiteral writes it for a string with a backslash
        if t.up == "E" and nxt is not None and nxt.kind == "str" and not nxt.lead:
            raise PgError("42704", 'type "e" does not exist')
        qualified = prev is not None and prev.text == "."
        if prev is not None and prev.text == "::" or (prev is not None and prev.up == "AS" and nxt is not None
                                                      and nxt.text == ")"):
            if t.up in TYPES_MISSING:
                raise PgError("42704", 'type "%s" does not exist' % t.text.lower())
            if t.up == "SUPER" or t.up == "HLLSKETCH":
                out.append(Tok("raw", "rs_sys." + t.text.lower(), t.lead, t.pos))
                continue
        if not qualified and nxt is not None and nxt.text == "(":
            if t.up in FUNCS_MISSING:
                j = close_paren(toks, i + 1)
                kinds = ['"unknown"' if a and a[0].kind in ("str", "param") else "integer"
                         for a in split_commas(toks[i + 2:j]) if a]
                raise PgError("42883", "function %s(%s) does not exist" % (t.text.lower(), ", ".join(kinds)))
            if t.up in FUNCS_OURS:
                out.append(Tok("raw", "rs_sys." + t.text.lower(), t.lead, t.pos))
                continue
        if t.up == "SYSDATE" and not qualified and not (nxt is not None and nxt.text == "("):
            out.append(Tok("raw", "rs_sys.sysdate()", t.lead, t.pos))
            continue
        if t.up in TABLES_OURS:
            if qualified and len(out) >= 2 and out[-2].text.lower() == "pg_catalog":
                del out[-2:]
            elif qualified:
                out.append(t)
                continue
            out.append(Tok("raw", "rs_sys." + t.text.lower(), t.lead or " ", t.pos))
            continue
        if t.up == "DISTINCT" and prev is not None and prev.up in ("IS", "NOT"):
            raise syntax_error(toks, t)      # IS DISTINCT FROM
        if t.up == "DISTINCT" and nxt is not None and nxt.up == "ON":
            raise PgError("0A000", "SELECT DISTINCT ON is not supported")
        if t.up == "FILTER" and nxt is not None and nxt.text == "(" and prev is not None and prev.text == ")":
            raise syntax_error(toks, nxt)
        if t.up == "FOR" and nxt is not None and nxt.up in ("UPDATE", "SHARE"):
            raise PgError("0A000", "SELECT FOR %s is not supported" % nxt.up)
        out.append(t)
    return out


def dml(toks):
    """INSERT, UPDATE, DELETE: what Redshift's grammar lacks; the table written is locked."""
    first = toks[0].up
    i = 1 + (word(toks, 1) in ("INTO", "FROM"))
    parts, j = take_name(toks, i)
    depth = 0
    for k, t in enumerate(toks):
        depth += (t.text == "(") - (t.text == ")")
        if depth == 0 and t.kind == "word":
            if t.up == "RETURNING":
                raise syntax_error(toks, t)
            if t.up == "ON" and word(toks, k + 1) == "CONFLICT":
                raise syntax_error(toks, t)
    if first == "DELETE" and j < len(toks) and (word(toks, j) not in ("USING", "WHERE") and is_name(toks[j])):
        raise syntax_error(toks, toks[j])    # no alias for the table ("DELETE")
    return Plan(join(general(toks)), first, [qname(parts)])


def merge(toks):
    """MERGE with Redshift's limits ("MERGE"): no WITH, no alias for the target, a table as the
    source, exactly WHEN MATCHED then WHEN NOT MATCHED without conditions, or REMOVE DUPLICATES."""
    i = 1 + (word(toks, 1) == "INTO")
    target, i = take_name(toks, i)
    if word(toks, i) != "USING":
        raise syntax_error(toks, toks[i]) if i < len(toks) else PgError("42601", "syntax error at end of input")
    if i + 1 < len(toks) and toks[i + 1].text == "(":
        raise PgError("0A000", "MERGE source must be a table: a subquery is not supported")
    source, j = take_name(toks, i + 1)
    alias = source[-1]
    if word(toks, j) == "AS":
        j += 1
    if j < len(toks) and is_name(toks[j]) and word(toks, j) != "ON":
        alias, j = toks[j].name, j + 1
    if word(toks, j) != "ON":
        raise syntax_error(toks, toks[min(j, len(toks) - 1)])
    k = j + 1
    while k < len(toks) and not (toks[k].kind == "word" and toks[k].up in ("WHEN", "REMOVE")):
        k = close_paren(toks, k) + 1 if toks[k].text == "(" else k + 1
    cond = join(general(toks[j + 1:k]))
    locks = [qname(target)]
    if source[-2:] == target[-2:]:
        raise PgError("0A000", "Source table and target table can't be the same")
    if word(toks, k) == "REMOVE" and word(toks, k + 1) == "DUPLICATES":
        # matching target rows are replaced by the source's, the rest inserted, whole-row duplicates once
        s = "%s AS %s" % (qname(source), quote_ident(alias))
        return Virtual(None, "MERGE", locks, tag="MERGE", steps=[
            "DELETE FROM %s USING %s WHERE %s" % (qname(target), s, cond),
            "INSERT INTO %s SELECT DISTINCT * FROM %s" % (qname(target), qname(source))])
    want = ["WHEN MATCHED THEN", "WHEN NOT MATCHED THEN"]
    seen = []
    for n in range(k, len(toks)):
        if word(toks, n) == "WHEN" and word(toks, n + 1) in ("MATCHED", "NOT"):
            m = n + 2 if word(toks, n + 1) == "MATCHED" else n + 3
            seen.append("WHEN MATCHED THEN" if m == n + 2 else "WHEN NOT MATCHED THEN")
            if word(toks, m) != "THEN":      # AND condition
                raise syntax_error(toks, toks[min(m, len(toks) - 1)])
            action = word(toks, m + 1)
            if action not in (("UPDATE", "DELETE") if m == n + 2 else ("INSERT",)):
                raise syntax_error(toks, toks[min(m + 1, len(toks) - 1)])
            if len(seen) > 2 or seen[-1] != want[len(seen) - 1]:
                raise syntax_error(toks, toks[n])
    if seen != want:
        raise PgError("42601", "syntax error at end of input: MERGE needs WHEN MATCHED and WHEN NOT MATCHED")
    return Plan(join(general(toks)), "MERGE", locks)


def set_show(toks):
    first = toks[0].up
    i = 1 + (word(toks, 1) in ("SESSION", "LOCAL"))
    name = ".".join(take_name(toks, i)[0]) if i < len(toks) else ""
    if first == "SET" and name in ("transaction", "characteristics"):
        return Virtual(None, "SET", tag="SET", steps=[])     # every level means SERIALIZABLE ("BEGIN")
    if name in GUC_MISSING:
        raise PgError("42704", 'unrecognized configuration parameter "%s"' % name)
    if first == "SHOW" and name == "server_version":
        return Plan("SELECT '8.0.2'::varchar AS server_version", "SHOW")
    if name in GUC_REDSHIFT:
        if first == "SHOW":
            return Plan("SELECT 'default'::varchar AS %s" % quote_ident(name), "SHOW")
        return Virtual(None, "SET", tag=first, steps=[])
    if name == "standard_conforming_strings" and first != "SHOW":
        raise PgError("42704", 'unrecognized configuration parameter "%s"' % name)
    return Plan(join(general(toks)), first)


INJECTIONS = []          # faults waiting for a statement; see SELECT rsd_inject(...)


def control(toks):
    """SELECT rsd_inject('kind', 'regex' [, times [, 'argument']]), SELECT rsd_clear() and SELECT rsd_left(): how many
    faults nobody has met yet."""
    name = toks[1].name
    if name == "rsd_left":
        return Plan("SELECT %d AS rsd_left" % sum(i["left"] for i in INJECTIONS), "SELECT")
    if name == "rsd_clear":
        INJECTIONS.clear()
    else:
        args = [a[0].value if a and a[0].kind == "str" else a[0].text if a else ""
                for a in split_commas(toks[3:close_paren(toks, 2)])]
        if not args or args[0] not in ("1023", "conflict", "error", "drop", "drop_after", "delay", "s3"):
            raise PgError("22023", "rsd_inject: kind is 1023, conflict, error, drop, drop_after, delay or s3")
        INJECTIONS.append({"kind": args[0], "re": re.compile(args[1] if len(args) > 1 else "", re.I | re.S),
                           "left": int(args[2]) if len(args) > 2 else 1,
                           "arg": args[3] if len(args) > 3 else ""})
    return Plan("SELECT %d AS %s" % (len(INJECTIONS), name), "SELECT")


def take_injection(sql, kinds):
    for inj in INJECTIONS:
        if inj["kind"] in kinds and inj["re"].search(sql or ""):
            inj["left"] -= 1
            if inj["left"] <= 0:
                INJECTIONS.remove(inj)
            return inj
    return None


def classify(toks):
    """The plan of one statement, or a PgError."""
    first, second = word(toks, 0), word(toks, 1)
    source = join(toks)
    plan = _classify(toks, first, second)
    plan.source = source
    return plan


def _classify(toks, first, second):
    if first == "SELECT" and second in ("RSD_INJECT", "RSD_CLEAR", "RSD_LEFT"):
        return control(toks)
    if first == "COPY":
        return copy_plan(toks)
    if first == "CREATE":
        i = 1
        while word(toks, i) in ("OR", "REPLACE", "LOCAL", "TEMP", "TEMPORARY", "UNIQUE", "GLOBAL"):
            i += 1
        what = word(toks, i)
        if what == "TABLE":
            return create_table(toks, i + 1)
        if what in ("INDEX", "SEQUENCE", "TRIGGER", "RULE", "DOMAIN", "EXTENSION", "AGGREGATE", "CAST", "OPERATOR",
                    "SERVER", "PUBLICATION", "SUBSCRIPTION", "EVENT", "STATISTICS", "TABLESPACE"):
            raise not_on_tables(toks)
        if what == "TYPE":
            raise syntax_error(toks, toks[i])
        if what == "EXTERNAL" or what == "UNLOGGED":
            raise PgError("0A000", "CREATE %s is not emulated by the Redshift double" % what)
        if what == "VIEW" and len(toks) > 4 and [t.up for t in toks[-4:]] == ["WITH", "NO", "SCHEMA", "BINDING"]:
            toks = toks[:-4]
        return Plan(join(general(toks)), "CREATE")
    if first == "ALTER" and second == "TABLE":
        return alter_table(toks)
    if first in ("INSERT", "UPDATE", "DELETE"):
        return dml(toks)
    if first == "MERGE":
        return merge(toks)
    if first == "TRUNCATE":                  # commits the transaction it runs in ("TRUNCATE")
        parts, i = take_name(toks, 1 + (second == "TABLE"))
        if i < len(toks):
            raise syntax_error(toks, toks[i])
        return Virtual(None, "TRUNCATE", [qname(parts)], tag="TRUNCATE TABLE",
                       steps=["TRUNCATE TABLE " + qname(parts)], then_commit=True)
    if first in ("BEGIN", "START"):
        ro = " READ ONLY" if any(t.up == "ONLY" for t in toks) else ""
        return Plan("BEGIN" + ro, "BEGIN")
    if first in ("COMMIT", "END", "ROLLBACK", "ABORT"):
        for t in toks[1:]:
            if t.up in ("TO", "PREPARED", "AND"):
                raise not_on_tables(toks) if t.up == "TO" else syntax_error(toks, t)
        return Plan("COMMIT" if first in ("COMMIT", "END") else "ROLLBACK", "COMMIT" if first in ("COMMIT", "END")
                    else "ROLLBACK")
    if first in ("SAVEPOINT", "RELEASE", "LISTEN", "UNLISTEN", "NOTIFY", "CLUSTER", "REINDEX", "LOAD", "CHECKPOINT"):
        raise not_on_tables(toks)
    if first in ("DISCARD", "DO", "VALUES", "REASSIGN", "SECURITY", "IMPORT"):
        raise syntax_error(toks, toks[0])
    if first == "DEALLOCATE" and word(toks, len(toks) - 1) == "ALL":
        raise syntax_error(toks, toks[-1])
    if first == "UNLOAD":
        raise PgError("0A000", "UNLOAD is not emulated by the Redshift double")
    if first == "LOCK":                      # LOCK [TABLE] t [, ...]: no mode, no NOWAIT ("LOCK")
        for t in toks[1:]:
            if t.up in ("IN", "NOWAIT", "ONLY"):
                raise syntax_error(toks, t)
        return Plan(join(general(toks)), "LOCK")
    if first in ("SET", "RESET", "SHOW"):
        return set_show(toks)
    if first == "VACUUM":                    # FULL, SORT ONLY, ... TO n PERCENT, BOOST are Redshift's
        skip = {"FULL", "SORT", "DELETE", "ONLY", "REINDEX", "RECLUSTER"}
        i = 1
        while word(toks, i) in skip:
            i += 1
        sql = "VACUUM" + (" " + qname(take_name(toks, i)[0]) if i < len(toks) else "")
        return Plan(sql, "VACUUM")
    if first in ("ANALYZE", "ANALYSE"):
        if second == "COMPRESSION":
            raise PgError("0A000", "ANALYZE COMPRESSION is not emulated by the Redshift double")
        return Plan(join(toks[:2] if len(toks) > 1 else toks), "ANALYZE")
    return Plan(join(general(toks)), first)


# --------------------------------------------------------------------------- COPY parser

# Parameters COPY knows: value kind (None none, 's' string, 'n' number, 'w' word, 'o' on/off, 's?' optional)
COPY_PARAMS = {
    "MANIFEST": None, "GZIP": None, "BZIP2": None, "LZOP": None, "ZSTD": None, "ENCRYPTED": None,
    "MASTER_SYMMETRIC_KEY": "s", "REGION": "s", "DELIMITER": "s", "FIXEDWIDTH": "s", "QUOTE": "s", "NULL": "s",
    "ACCEPTANYDATE": None, "ACCEPTINVCHARS": "s?", "BLANKSASNULL": None, "DATEFORMAT": "s", "EMPTYASNULL": None,
    "ENCODING": "w", "ESCAPE": None, "EXPLICIT_IDS": None, "FILLRECORD": None, "IGNOREBLANKLINES": None,
    "IGNOREHEADER": "n", "REMOVEQUOTES": None, "ROUNDEC": None, "TIMEFORMAT": "s", "TRIMBLANKS": None,
    "TRUNCATECOLUMNS": None, "COMPROWS": "n", "COMPUPDATE": "o", "IGNOREALLERRORS": None, "MAXERROR": "n",
    "NOLOAD": None, "STATUPDATE": "o", "SERIALIZETOJSON": None, "READRATIO": "n", "SSH": None,
}
# "COPY from columnar data formats": the only ones Parquet takes (FROM and authorization aside)
PARQUET_PARAMS = {"MANIFEST", "FILLRECORD", "STATUPDATE", "ACCEPTINVCHARS", "EXPLICIT_IDS", "SERIALIZETOJSON"}


def copy_plan(toks):
    parts, i = take_name(toks, 1)
    columns = None
    if i < len(toks) and toks[i].text == "(":
        j = close_paren(toks, i)
        columns = [t.name for t in toks[i + 1:j] if is_name(t)]
        i = j + 1
    if word(toks, i) == "TO":
        raise syntax_error(toks, toks[i])    # COPY only loads; UNLOAD writes
    if word(toks, i) != "FROM" or i + 1 >= len(toks):
        raise syntax_error(toks, toks[min(i, len(toks) - 1)])
    src = toks[i + 1]
    if src.kind == "param":                  # a utility statement takes no bind parameter
        raise syntax_error(toks, src)
    if src.kind != "str" or not src.value.startswith("s3://"):
        if src.kind == "str" and src.value.startswith(("dynamodb://", "emr://")):
            raise PgError("0A000", "this LOAD source is not emulated by the Redshift double")
        raise PgError("0A000", "LOAD source is not supported. (Hint: only S3 or DynamoDB or EMR based load is allowed)")
    spec = {"table": parts, "columns": columns, "url": src.value, "format": None, "role": None, "keys": {}}
    i += 2
    while i < len(toks):
        t, w = toks[i], word(toks, i)

        def value(kind="str"):
            nonlocal i
            i += 1
            if word(toks, i) == "AS":
                i += 1
            if i >= len(toks):
                raise PgError("42601", "syntax error at end of input")
            if toks[i].kind != kind:
                raise syntax_error(toks, toks[i])
            i += 1
            return toks[i - 1].value if kind == "str" else toks[i - 1].text

        if w == "WITH" and word(toks, i + 1) == "CREDENTIALS":
            i += 1
        elif w == "CREDENTIALS":
            spec["role"] = value()
        elif w == "IAM_ROLE":
            if word(toks, i + 1) == "DEFAULT":
                spec["role"], i = "default", i + 2
            else:
                spec["role"] = value()
        elif w in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
            spec["role"] = spec["keys"][w] = value()
        elif w == "FORMAT" or (w == "AS" and i + 1 < len(toks)):
            i += 1
        elif w in ("PARQUET", "ORC", "CSV", "AVRO", "SHAPEFILE", "JSON", "FIXEDWIDTH"):
            if spec["format"]:
                raise syntax_error(toks, t)
            spec["format"] = w
            if w == "JSON":
                i += 1
                if word(toks, i) == "AS":
                    i += 1
                if i < len(toks) and toks[i].kind == "str":
                    i += 1
            else:
                i += 1
        elif w in COPY_PARAMS:
            kind = COPY_PARAMS[w]
            if kind is None:
                spec[w], i = True, i + 1
            elif kind == "s":
                spec[w] = value()
            elif kind == "s?":
                spec[w] = "?"
                i += 1
                if word(toks, i) == "AS":
                    i += 1
                if i < len(toks) and toks[i].kind == "str":
                    spec[w], i = toks[i].value, i + 1
            elif kind == "n":
                spec[w] = int(value("num"))
            elif kind == "w":
                spec[w] = value("word")
            else:                            # [ON|OFF|TRUE|FALSE|PRESET]
                spec[w], i = True, i + 1
                if word(toks, i) in ("ON", "OFF", "TRUE", "FALSE", "PRESET"):
                    spec[w], i = word(toks, i), i + 1
        elif t.text == ",":
            i += 1
        else:
            raise syntax_error(toks, t)
    if spec["role"] is None:
        raise PgError("0A000", "CREDENTIALS argument is required but not supplied")
    if spec["format"] != "PARQUET":
        raise PgError("0A000", "this COPY format is not emulated by the Redshift double")
    for p in COPY_PARAMS:
        if p in spec and p not in PARQUET_PARAMS:
            raise PgError("0A000", "%s argument is not supported for PARQUET based COPY" % p)
    return Virtual(None, "COPY", [qname(parts)], tag="COPY", copy=spec)


# ------------------------------------------------------------------------------- loaders


def detail_block(error, code, context, query, location, process):
    """The DETAIL that Redshift puts under an error of its engine."""
    return ("\n  -----------------------------------------------\n  error:  %s\n  code:      %d\n  context:   %s\n"
            "  query:     %d\n  location:  %s\n  process:   %s [pid=%d]\n"
            "  -----------------------------------------------\n"
            % (error, code, context[:CONTEXT_MAX], query, location, process, os.getpid()))


class LoadFailure(Exception):
    """A COPY that failed on its data: what goes to the client and into the system tables."""

    def __init__(self, error, rows=(), s3log=None):
        super().__init__(error.fields["M"])
        self.error, self.rows, self.s3log = error, list(rows), s3log


class Column:
    def __init__(self, row):
        (self.name, self.type, typmod, notnull, self.identity, self.default) = row[:6]
        self.typmod, self.notnull = int(typmod), notnull == "t"
        self.base = {"character varying": "varchar", "character": "char", "timestamp without time zone": "timestamp",
                     "timestamp with time zone": "timestamptz", "rs_sys.super": "super", "integer": "int4",
                     "rs_sys.hllsketch": "hllsketch", "rs_sys.varbyte": "varbyte", "bigint": "int8",
                     "smallint": "int2", "double precision": "float8", "real": "float4", "boolean": "bool",
                     "numeric": "numeric", "date": "date", "jsonb": "super"}.get(self.type, self.type)
        self.length = self.typmod - 4 if self.base in ("varchar", "char") and self.typmod > 4 else None
        self.precision = self.scale = None
        if self.base == "numeric" and self.typmod > 4:
            self.precision, self.scale = (self.typmod - 4) >> 16, (self.typmod - 4) & 0xffff

    def ddl(self):
        """As Redshift's Parquet messages name a type."""
        return {"int2": "SMALLINT", "int4": "INT", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE",
                "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ",
                "numeric": "DECIMAL(%s, %s)" % (self.precision, self.scale),
                "varchar": "VARCHAR", "char": "CHAR"}.get(self.base, self.base.upper())


class Objects:
    """The objects of a COPY; the client blocks, so it lives in worker threads."""

    def __init__(self, query, keys):
        if not S3_ENDPOINT:
            raise PgError("XX000", "SLUICE_TEST_S3_ENDPOINT is not set for the Redshift double")
        self.query = query
        self.client = S3(S3_ENDPOINT, keys.get("ACCESS_KEY_ID"), keys.get("SECRET_ACCESS_KEY"), REGION,
                         keys.get("SESSION_TOKEN"))

    @staticmethod
    def split(url):
        bucket, _, key = url[5:].partition("/")
        return bucket, key

    def failure(self, message, status, code, request="RSDOUBLE", prefix="", location="s3_utility.cpp:397"):
        text = "%sS3ServiceException:%s,Status %s,Error %s,Rid %s,ExtRid rsdouble,CanRetry 1" % (
            prefix, message, status, code, request)
        return PgError("XX000", text, detail_block(text, 8001, "", self.query, location, "padbmaster"))

    def call(self, what, *arguments, prefix=""):
        try:
            return what(*arguments)
        except S3Error as e:
            raise self.failure(e.message, e.status, e.code, e.request_id, prefix)
        except (OSError, http.client.HTTPException) as e:
            raise self.failure(str(e), 500, "Unknown", prefix=prefix)

    def list(self, url):
        """Every object under the key prefix, not only the object of that name ("COPY from Amazon S3")."""
        bucket, prefix = self.split(url)
        out = ["s3://%s/%s" % (bucket, key) for key, size in self.call(self.client.list, bucket, prefix)
               if size or not key.endswith("/")]
        if not out:
            text = "The specified S3 prefix '%s' does not exist" % prefix
            raise PgError("XX000", text, detail_block(text, 8001, "", self.query, "s3_utility.cpp:669", "padbmaster"))
        return out

    def get(self, url, prefix=""):
        return self.call(self.client.get, *self.split(url), prefix=prefix)

    def manifest(self, url):
        """[(url, content_length, mandatory)] of a manifest ("COPY from Amazon S3")."""
        body = self.get(url, "Problem reading manifest file - ")

        def bad(text, code, where):
            return PgError("XX000", text, detail_block(text, code, "", self.query, where, "padbmaster"))
        try:
            entries = json.loads(body)["entries"]
            urls = [e["url"] for e in entries]
        except (ValueError, KeyError, TypeError):
            raise bad("Manifest file is not in correct json format", 8001, "s3_utility.cpp:333")
        out = []
        for e, u in zip(entries, urls):
            if "meta" not in e:
                raise bad("File entry does not have 'meta' key.", 15003, "spectrum_manifest.cpp:204")
            if not isinstance(e["meta"].get("content_length"), int):
                raise bad("File entry does not have 'content_length' key.", 15003, "spectrum_manifest.cpp:219")
            out.append((u, e["meta"]["content_length"], bool(e.get("mandatory", False))))
        return out


def https(url):
    bucket, key = Objects.split(url)
    return "https://s3.%s.amazonaws.com/%s/%s" % (REGION, bucket, urllib.parse.quote(key))


class Load:
    """One COPY of Parquet: the objects' rows as chunks for COPY ... FROM STDIN."""

    def __init__(self, spec, columns, table, oid, query):
        self.spec, self.cols, self.table, self.oid, self.query = spec, columns, table, oid, query
        self.rows = 0                  # loaded so far
        self.files = []                # (url, rows, bytes), for STL_LOAD_COMMITS

    def chunks(self):
        """Runs in a worker thread, one next() at a time."""
        objects = Objects(self.query, self.spec["keys"])
        if take_injection(self.spec["url"], ("s3",)):
            raise objects.failure("Please reduce your request rate.", 503, "SlowDown", "RSDINJECT")
        if self.spec.get("MANIFEST"):
            entries = objects.manifest(self.spec["url"])
        else:
            entries = [(u, None, True) for u in objects.list(self.spec["url"])]
        for url, length, mandatory in entries:
            try:
                body = objects.get(url)
            except PgError as e:
                if "NoSuchKey" not in e.fields["M"] or not self.spec.get("MANIFEST"):
                    raise
                if not mandatory:
                    continue
                raise self.spectrum("File not found: " + https(url), url=url)
            if length is not None:
                body = body[:length]         # the reader takes the manifest's word for the length
            before = self.rows
            yield from self.parquet_file(url, body)
            self.files.append((url, self.rows - before, len(body)))

    def spectrum(self, context, code=15007, url="", col=None, code2=None):
        full = "Spectrum Scan Error. " + context
        err = PgError("XX000", "Spectrum Scan Error", detail_block(
            "Spectrum Scan Error", code, context, self.query, "dory_util.cpp:1509", "worker_thread"))
        row = self.error_row(url, 0, col, 0, "", "", code2 or code, context)
        return LoadFailure(err, [row], full)

    def check_schema(self, url, pf):
        """Columns go by position; their number and types must fit. The reader's messages are Impala's."""
        h, schema = https(url), pf.schema
        leaves, top = [], []
        for i in range(len(schema)):
            c = schema.column(i)
            leaves.append(c)
            root = c.path.split(".")[0]
            if not top or top[-1][0] != root:
                top.append((root, [c]))
            else:
                top[-1][1].append(c)
        n, m = len(self.cols), len(top)
        if m != n and not (m < n and self.spec.get("FILLRECORD")):
            raise self.spectrum("Unmatched number of columns between table and file. Table columns: %d, "
                                "Data columns: %d, File name: %s" % (n, m, h), url=url)
        for col, (root, cs) in zip(self.cols, top):
            c = cs[0]
            lt = c.logical_type.type if c.logical_type is not None else "NONE"
            phys = c.physical_type
            if c.path.count(".") or len(cs) > 1:     # nested
                ok = col.base == "super"
            elif col.base == "super":
                ok = True
            else:
                ok = {
                    "bool": phys == "BOOLEAN",
                    "int2": phys == "INT32" and lt in ("NONE", "INT"),
                    "int4": phys == "INT32" and lt in ("NONE", "INT"),
                    "int8": phys == "INT64" and lt in ("NONE", "INT"),
                    "float4": phys == "FLOAT", "float8": phys == "DOUBLE",
                    "date": phys == "INT32" and lt == "DATE",
                    "timestamp": phys == "INT96" or (phys == "INT64" and lt == "TIMESTAMP"),
                    "timestamptz": phys == "INT96" or (phys == "INT64" and lt == "TIMESTAMP"),
                    "numeric": lt == "DECIMAL",
                    "varchar": phys == "BYTE_ARRAY" and lt != "DECIMAL",
                    "char": phys == "BYTE_ARRAY" and lt != "DECIMAL",
                    "varbyte": phys == "BYTE_ARRAY" and lt != "DECIMAL",
                }.get(col.base, False)
                if ok and lt == "INT" and not self.signed(c):
                    ok = False
                if ok and lt == "TIMESTAMP" and "nanoseconds" in str(c.logical_type).lower():
                    ok = False               # no word of it in the documents: refused to be safe
            if not ok:
                rep = "optional" if c.max_definition_level else "required"
                # the whole text is in SVL_S3LOG; the client's copy is cut short
                raise self.spectrum("File '%s' has an incompatible Parquet schema for column '%s.%s'. "
                                    "Column type: %s, Parquet schema: %s %s %s [i:%d d:%d r:%d]"
                                    % (h, url, root, col.ddl(), rep, phys.lower(), root, self.cols.index(col),
                                       c.max_definition_level, c.max_repetition_level), url=url, col=col)
            if col.base == "super" and not self.spec.get("SERIALIZETOJSON"):
                raise PgError("0A000", "SUPER column in COPY query requires SERIALIZETOJSON option")
            if col.base == "numeric" and lt == "DECIMAL":
                if c.scale != col.scale:
                    raise self.spectrum("File '%s' column '%s' has a scale that does not match the table metadata "
                                        "scale. File metadata scale: %d Table metadata scale: %d"
                                        % (h, root, c.scale, col.scale), 15001, url, col)
                if c.precision != col.precision:
                    raise self.spectrum("File '%s' column '%s' has a precision that does not match the table "
                                        "metadata precision. File metadata precision: %d Table metadata precision: %d"
                                        % (h, root, c.precision, col.precision), 15001, url, col)
                want = 1
                while 10 ** c.precision > 2 ** (8 * want - 1):
                    want += 1
                if phys == "FIXED_LEN_BYTE_ARRAY" and c.length != want:
                    raise self.spectrum("File '%s' column '%s' has an invalid type length. Expecting: %d len in "
                                        "file: %d" % (h, root, want, c.length), 15001, url, col)
        for g in range(pf.metadata.num_row_groups):
            for i in range(pf.metadata.num_columns):
                codec = pf.metadata.row_group(g).column(i).compression
                if codec not in ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"):
                    raise self.spectrum("File '%s' uses an unsupported compression: %s for column '%s'"
                                        % (h, codec, schema.column(i).path), 15001, url)
        return m

    @staticmethod
    def signed(c):
        try:
            return json.loads(c.logical_type.to_json()).get("isSigned", True)
        except (ValueError, AttributeError):
            return True

    def parquet_file(self, url, body):
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv as pacsv
        import pyarrow.parquet as pq
        h = https(url)
        if body[-4:] != b"PAR1" or len(body) < 12:
            raise self.spectrum("File '%s' has an invalid version number: %s"
                                % (h, body[-4:].decode("latin-1")), 15001, url)
        try:
            pf = pq.ParquetFile(io.BytesIO(body), coerce_int96_timestamp_unit="us")
        except (pa.ArrowException, OSError) as e:
            raise self.spectrum("File '%s' has a corrupt footer: %s" % (h, str(e).split("\n")[0]), 15001, url)
        ncols = self.check_schema(url, pf)
        cols = self.cols[:ncols]
        try:
            for batch in pf.iter_batches(batch_size=16384):
                arrays = []
                for i, col in enumerate(cols):
                    a = batch.column(i)
                    if col.notnull and a.null_count:
                        raise self.null_failure(col)
                    if pa.types.is_dictionary(a.type):
                        a = a.cast(a.type.value_type)
                    if col.base == "super":
                        for v in a.to_pylist():
                            if isinstance(v, str) and len(v.encode()) > 65535:
                                raise LoadFailure(PgError("XX000", "1224 String value exceeds the max size of "
                                                          "65535 bytes"), [])
                        a = pa.array([None if v is None else json.dumps(v, default=str) for v in a.to_pylist()],
                                     pa.string())
                    elif col.base in ("varchar", "char"):
                        a = self.check_text(a, col, url)
                    elif col.base == "varbyte":
                        a = pa.array([None if v is None else "\\x" + bytes(v).hex() for v in a.to_pylist()],
                                     pa.string())
                    elif col.base in ("timestamp", "timestamptz"):
                        a = a.cast(pa.timestamp("us", a.type.tz))
                        a = a.cast(pa.timestamp("us", "UTC")) if a.type.tz else a
                        if col.base == "timestamptz" and not a.type.tz:
                            a = pc.assume_timezone(a, "UTC")
                        elif col.base == "timestamp" and a.type.tz:
                            a = a.cast(pa.int64()).cast(pa.timestamp("us"))
                    elif col.base == "int2":
                        a = a.cast(pa.int16())
                    arrays.append(a)
                for col in self.cols[ncols:]:
                    if col.notnull:
                        raise self.null_failure(col)
                    arrays.append(pa.nulls(len(batch), pa.string()))
                out = io.BytesIO()
                pacsv.write_csv(pa.table(arrays, names=[c.name for c in self.cols]), out,
                                pacsv.WriteOptions(include_header=False, quoting_style="needed"))
                self.rows += len(batch)
                yield out.getvalue()
        except pa.ArrowException as e:
            raise self.spectrum("File '%s' could not be read: %s" % (h, str(e).split("\n")[0]), 15001, url)

    def check_text(self, a, col, url):
        import pyarrow as pa
        import pyarrow.compute as pc
        if not len(a):
            return a
        longest = pc.max(pc.binary_length(a.cast(pa.binary()) if pa.types.is_string(a.type) else a)).as_py() or 0
        if col.length and longest > col.length:      # counted in bytes
            raise self.spectrum("The length of the data column %s is longer than the length defined in the table. "
                                "Table: %d, Data: %d, File name: %s" % (col.name, col.length, longest, https(url)),
                                url=url, col=col)
        try:
            a = a.cast(pa.string())
        except pa.ArrowInvalid:
            if self.spec.get("ACCEPTINVCHARS"):
                r = self.spec["ACCEPTINVCHARS"]
                return pa.array([None if v is None else bytes(v).decode("utf-8", "replace").replace("\ufffd", r)
                                 for v in a.to_pylist()], pa.string())
            raise self.spectrum("String contains invalid or unsupported UTF8 codepoints. Column: %s, File name: %s"
                                % (col.name, https(url)), 15001, url, col, 1220)
        return a

    def null_failure(self, col):
        text = "Cannot insert a NULL value into column %s" % col.name
        return LoadFailure(PgError("XX000", text, detail_block(
            text, 8007, "query execution", self.query, "column:%d" % self.cols.index(col), "query0_120")))

    def error_row(self, url, line, col, pos, rawline, value, code, reason):
        return {"tbl": self.oid, "filename": url[:256], "line": line, "colname": col.name if col else "",
                "type": col.base[:10] if col else "", "col_length": str(col.length or "") if col else "",
                "position": pos, "raw_line": rawline[:1024], "raw_value": (value or "")[:1024], "code": code,
                "reason": reason, "query": self.query}


# ------------------------------------------------------------------- backend connection

PG = re.match(r"postgres(?:ql)?://([^:@]+)(?::([^@]*))?@([^:/]+)(?::(\d+))?/([^?]+)", PG_URL)
if not PG:
    sys.exit("redshift_double: RSD_PG is not of the form postgresql://user:password@host:port/db")
PG_USER, PG_PASS, PG_HOST, PG_PORT, PG_DB = PG[1], PG[2] or "", PG[3], int(PG[4] or 5432), PG[5]


class Backend:
    """A connection to the real PostgreSQL; a pump task turns its bytes into a queue of messages."""

    def __init__(self):
        self.queue = asyncio.Queue(maxsize=4096)
        self.task = None

    async def connect(self, database, params):
        self.reader, self.writer = await asyncio.open_connection(PG_HOST, PG_PORT, limit=1 << 20)
        body = struct.pack("!I", 196608) + b"".join(z(k) + z(v) for k, v in
                                                    {"user": PG_USER, "database": database, **params}.items()) + b"\0"
        self.writer.write(struct.pack("!I", len(body) + 4) + body)
        scram = None
        early = []                       # ParameterStatus, BackendKeyData
        while True:
            t, b = await self.read_raw()
            if t == b"R":
                code = struct.unpack("!I", b[:4])[0]
                if code == 0:
                    continue
                if code == 3:
                    self.writer.write(msg(b"p", z(PG_PASS)))
                elif code == 5:
                    inner = hashlib.md5((PG_PASS + PG_USER).encode()).hexdigest().encode()
                    self.writer.write(msg(b"p", z("md5" + hashlib.md5(inner + b[4:8]).hexdigest())))
                elif code == 10:
                    scram = "n=,r=" + secrets.token_urlsafe(18)
                    first = ("n,," + scram).encode()
                    self.writer.write(msg(b"p", z("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
                elif code == 11:
                    self.writer.write(msg(b"p", self.scram_final(scram, b[4:].decode())))
                elif code != 12:
                    raise PgError("28000", "the backend wants authentication %d" % code)
            elif t == b"E":
                e = PgError("08006", "?")
                e.fields = parse_fields(b)
                raise e
            elif t in (b"S", b"K"):
                early.append((t, b))
            elif t == b"Z":
                break
        self.task = asyncio.ensure_future(self.pump())
        return early

    @staticmethod
    def scram_final(bare, server_first):
        a = dict(x.split("=", 1) for x in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", PG_PASS.encode(), base64.b64decode(a["s"]), int(a["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        without = "c=biws,r=" + a["r"]
        sig = hmac.digest(hashlib.sha256(client).digest(), ",".join((bare, server_first, without)).encode(), "sha256")
        return (without + ",p=" + base64.b64encode(bytes(x ^ y for x, y in zip(client, sig))).decode()).encode()

    async def read_raw(self):
        head = await self.reader.readexactly(5)
        return head[:1], await self.reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)

    async def pump(self):
        try:
            while True:
                await self.queue.put(await self.read_raw())
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self.queue.put((b"", b""))

    async def get(self):
        t, b = await self.queue.get()
        if not t:
            raise Drop()
        return t, b

    def send(self, data):
        self.writer.write(data)

    async def query(self, sql):
        """A simple query: rows as lists of text. For the double's own use."""
        self.send(msg(b"Q", z(sql)))
        rows, err = [], None
        while True:
            t, b = await self.get()
            if t == b"D":
                rows.append(data_row(b))
            elif t == b"E":
                err = parse_fields(b)
            elif t == b"Z":
                self.status = b.decode()
                if err:
                    e = PgError("XX000", "?")
                    e.fields, e.from_backend = err, True
                    raise e
                return rows

    def close(self):
        if self.task:
            self.task.cancel()
        try:
            self.writer.write(msg(b"X"))
            self.writer.close()
        except Exception:
            pass


def data_row(body):
    n, at, out = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(n):
        size = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        if size < 0:
            out.append(None)
        else:
            out.append(body[at:at + size].decode("utf-8", "replace"))
            at += size
    return out


class Admin:
    """One autonomous backend session, for what must outlive a client's rollback."""

    def __init__(self):
        self.backend, self.lock = None, asyncio.Lock()

    async def query(self, sql):
        async with self.lock:
            for attempt in (1, 2):
                try:
                    if self.backend is None:
                        self.backend = Backend()
                        await self.backend.connect(DBNAME, {"client_encoding": "UTF8",
                                                            "standard_conforming_strings": "off",
                                                            "escape_string_warning": "off"})
                    return await self.backend.query(sql)
                except (Drop, ConnectionError, asyncio.IncompleteReadError):
                    self.backend = None
                    if attempt == 2:
                        raise


ADMIN = Admin()
QUERY_ID = [int(time.time()) % 100000000]


def next_query():
    QUERY_ID[0] += 1
    return QUERY_ID[0]


BOOTSTRAP = r"""
CREATE SCHEMA IF NOT EXISTS rs_sys;
DO $b$ BEGIN
  IF to_regtype('rs_sys.super') IS NULL THEN CREATE DOMAIN rs_sys.super AS jsonb; END IF;
  IF to_regtype('rs_sys.hllsketch') IS NULL THEN CREATE DOMAIN rs_sys.hllsketch AS text; END IF;
  IF to_regtype('rs_sys.varbyte') IS NULL THEN CREATE DOMAIN rs_sys.varbyte AS bytea; END IF;
END $b$;
CREATE OR REPLACE FUNCTION rs_sys.version() RETURNS varchar LANGUAGE sql STABLE AS $b$ SELECT '@VERSION@'::varchar $b$;
CREATE OR REPLACE FUNCTION rs_sys.getdate() RETURNS timestamp LANGUAGE sql STABLE
  AS $b$ SELECT date_trunc('second', statement_timestamp())::timestamp $b$;
CREATE OR REPLACE FUNCTION rs_sys.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS $b$ SELECT now()::timestamp $b$;
CREATE OR REPLACE FUNCTION rs_sys.json_parse(varchar) RETURNS rs_sys.super LANGUAGE sql IMMUTABLE
  AS $b$ SELECT $1::jsonb::rs_sys.super $b$;
CREATE OR REPLACE FUNCTION rs_sys.json_serialize(rs_sys.super) RETURNS varchar LANGUAGE sql IMMUTABLE
  AS $b$ SELECT $1::jsonb::text::varchar $b$;
CREATE OR REPLACE FUNCTION rs_sys.json_extract_path_text(varchar, VARIADIC varchar[]) RETURNS varchar LANGUAGE sql
  IMMUTABLE AS $b$ SELECT coalesce(pg_catalog.json_extract_path_text($1::json, VARIADIC $2::text[]), '')::varchar $b$;
CREATE OR REPLACE FUNCTION rs_sys.is_valid_json(varchar) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
  AS $b$ BEGIN PERFORM $1::json; RETURN true; EXCEPTION WHEN others THEN RETURN false; END $b$;
CREATE OR REPLACE FUNCTION rs_sys.len(varchar) RETURNS int LANGUAGE sql IMMUTABLE AS $b$ SELECT length($1) $b$;
CREATE OR REPLACE FUNCTION rs_sys.pg_last_copy_id(bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $b$ SELECT $1::int $b$;
CREATE OR REPLACE FUNCTION rs_sys.pg_last_copy_count(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
  AS $b$ SELECT $1 $b$;
-- The plain estimator over 2^15 registers, for sparse sketches; Redshift's own is corrected for bias.
CREATE OR REPLACE FUNCTION rs_sys.hll_cardinality(rs_sys.hllsketch) RETURNS bigint LANGUAGE sql IMMUTABLE AS $b$
  WITH v AS (SELECT count(*) AS n, coalesce(sum(power(2.0::float8, -x.val::text::int)), 0) AS s
             FROM jsonb_array_elements($1::jsonb->'sparse'->'values') AS x(val)),
       e AS (SELECT 32768 - n AS zeros, (0.7213 / (1 + 1.079 / 32768)) * 32768.0 * 32768.0
                    / (s + (32768 - n)) AS raw FROM v)
  SELECT round(CASE WHEN raw <= 2.5 * 32768 AND zeros > 0 THEN 32768.0 * ln(32768.0 / zeros) ELSE raw END)::bigint FROM e
$b$;
CREATE TABLE IF NOT EXISTS rs_sys.stl_load_errors (userid int, slice int, tbl int, starttime timestamp, session int,
  query int, filename char(256), line_number bigint, colname char(127), type char(10), col_length char(10),
  position int, raw_line char(1024), raw_field_value char(1024), err_code int, err_reason char(100));
CREATE TABLE IF NOT EXISTS rs_sys.sys_load_error_detail (user_id int, query_id bigint, transaction_id bigint,
  session_id int, database_name char(64), table_id int, start_time timestamp, file_name char(256),
  line_number bigint, column_name char(127), column_type char(10), column_length char(10), position int,
  error_code int, error_message char(512));
CREATE TABLE IF NOT EXISTS rs_sys.stl_error (userid int, process char(12), recordtime timestamp, pid int, errcode int,
  file char(90), linenum int, context char(100), error char(512));
CREATE TABLE IF NOT EXISTS rs_sys.svl_s3log (pid int, query int, segment int, step int, node int, slice int,
  eventtime timestamp, message char(1024));
CREATE TABLE IF NOT EXISTS rs_sys.stl_load_commits (userid int, query int, slice int, name char(256),
  filename char(256), byte_offset int, lines_scanned int, errors int, curtime timestamp, status int,
  file_format char(16));
CREATE OR REPLACE VIEW rs_sys.pg_table_def AS SELECT n.nspname AS schemaname, c.relname AS tablename,
  a.attname AS "column", replace(format_type(a.atttypid, a.atttypmod), 'rs_sys.', '') AS type,
  'none'::varchar AS encoding, false AS distkey, 0 AS sortkey, a.attnotnull AS "notnull"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = ANY (current_schemas(true));
CREATE OR REPLACE VIEW rs_sys.stv_db_isolation_level AS
  SELECT current_database()::char(128) AS db_name, '@ISOLATION@'::char(20) AS isolation_level;
"""


async def bootstrap():
    b = Backend()
    await b.connect(PG_DB, {})
    if not await b.query("SELECT 1 FROM pg_database WHERE datname = '%s'" % DBNAME):
        await b.query('CREATE DATABASE "%s"' % DBNAME)
    b.close()
    level = "Serializable" if ISOLATION == "serializable" else "Snapshot Isolation"
    sql = BOOTSTRAP.replace("@VERSION@", VERSION).replace("@ISOLATION@", level)
    await ADMIN.query("SET standard_conforming_strings = on; " + sql + "; SET standard_conforming_strings = off")


async def record_failure(failure, session):
    """Writes a failed load into the system tables, outside the client's transaction."""
    out = []
    for r in failure.rows[:200]:
        q = lambda k: quote_lit(str(r[k]).replace("\0", "."))          # noqa: E731
        out.append("INSERT INTO rs_sys.stl_load_errors VALUES (100, 0, %d, now() AT TIME ZONE 'UTC', %d, %d, %s, %d, "
                   "%s, %s, %s, %d, %s, %s, %d, %s)" % (
                       r["tbl"], session, r["query"], q("filename"), r["line"], q("colname"), q("type"),
                       q("col_length"), r["position"], q("raw_line"), q("raw_value"), r["code"],
                       quote_lit(r["reason"][:100])))
        out.append("INSERT INTO rs_sys.sys_load_error_detail VALUES (100, %d, 0, %d, %s, %d, now() AT TIME ZONE 'UTC', "
                   "%s, %d, %s, %s, %s, %d, %d, %s)" % (
                       r["query"], session, quote_lit(DBNAME), r["tbl"], q("filename"), r["line"], q("colname"),
                       q("type"), q("col_length"), r["position"], r["code"], quote_lit(r["reason"][:512])))
        if failure.s3log:
            out.append("INSERT INTO rs_sys.svl_s3log VALUES (%d, %d, 0, 0, 0, 0, now() AT TIME ZONE 'UTC', %s)"
                       % (session, r["query"], quote_lit(failure.s3log[:1024])))
    if out:
        await ADMIN.query("; ".join(out))


# -------------------------------------------------------------------------- client session

NOTICE_TEXTS = [       # PostgreSQL's notices, as Redshift's INFO lines
    (re.compile(r'^relation "(.*)" already exists, skipping$'), r'Relation "\1" already exists and will be skipped'),
    (re.compile(r'^(table|view|schema) "(.*)" does not exist, skipping$'),
     lambda m: '%s "%s" does not exist and will be skipped' % (m[1].capitalize(), m[2])),
]
STARTUP_KNOWN = {"user", "database", "application_name", "client_encoding", "datestyle", "timezone", "search_path",
                 "statement_timeout", "extra_float_digits", "geqo"}
REDSHIFT_STARTUP = {"client_protocol_version", "driver_version", "os_version", "plugin_name", "idp_type",
                    "provider_name", "driver_discovery_version", "replication", "query_group"}


class Session:
    count = 0

    def __init__(self, reader, writer, tls):
        self.reader, self.writer, self.tls = reader, writer, tls
        self.be = None
        self.status = "I"              # I idle, T in a transaction, E in a failed one
        self.implicit = False          # the double opened this transaction around the client's statement
        self.simple = True             # which protocol the statement under way uses
        self.skip = False              # extended: an error; skip to Sync
        self.mute = False              # drop_after: do the work, say nothing, close
        self.held = b""                # simple: a CommandComplete waiting for the commit
        self.stmts, self.portals = {}, {}
        self.last_copy_id, self.last_copy_count = -1, 0
        self.pid = 0
        Session.count += 1
        self.id = Session.count

    # -- small things

    def out(self, data):
        if not self.mute:
            self.writer.write(data)

    async def drain(self):
        try:
            await self.writer.drain()
        except ConnectionError:
            raise Drop()

    def error(self, e):
        f = dict(e.fields)
        for k in "Vstcdn":             # fields that 8.0 does not send
            f.pop(k, None)
        f.setdefault("F", "padb/src/pg/src/backend/double.c")
        f.setdefault("L", "1")
        f.setdefault("R", "pg_throw")
        self.out(msg(b"E", fields_body(f)))

    def notice(self, severity, text):
        self.out(msg(b"N", fields_body({"S": severity, "C": "00000", "M": text})))

    async def read(self):
        head = await self.reader.readexactly(5)
        return head[:1], await self.reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)

    # -- start

    async def start(self):
        """SSL, GSS and cancel requests, then the startup packet. False: nothing more to do."""
        secure = False
        while True:
            size = struct.unpack("!I", await self.reader.readexactly(4))[0]
            if size > 10000:
                raise Drop()
            body = await self.reader.readexactly(size - 4)
            code = struct.unpack("!I", body[:4])[0]
            if code == 80877103:                                    # SSLRequest
                if self.tls and SSL_MODE != "off" and not secure:
                    self.writer.write(b"S")
                    await self.writer.drain()
                    await self.writer.start_tls(self.tls)
                    secure = True
                else:
                    self.writer.write(b"N")
            elif code == 80877104:                                  # GSSENCRequest
                self.writer.write(b"N")
            elif code == 80877102:                                  # CancelRequest: as it is
                r, w = await asyncio.open_connection(PG_HOST, PG_PORT)
                w.write(struct.pack("!I", size) + body)
                await w.drain()
                await r.read()
                w.close()
                return False
            elif code >> 16 == 3:
                break
            else:
                raise PgError("0A000", "unsupported frontend protocol", severity="FATAL")
        parts = body[4:].split(b"\0")
        p = {parts[i].decode(): parts[i + 1].decode("utf-8", "replace") for i in range(0, len(parts) - 1, 2) if parts[i]}
        user, db = p.get("user", ""), p.get("database", p.get("user", ""))
        if SSL_MODE == "require" and not secure:
            raise PgError("28000", 'no pg_hba.conf entry for host "::ffff:127.0.0.1", user "%s", database "%s", '
                          'SSL off' % (user, db), severity="FATAL")
        await self.authenticate(user)
        if db != DBNAME:
            raise PgError("3D000", 'database "%s" does not exist' % db, severity="FATAL")
        params = {k: v for k, v in p.items() if k.lower() in STARTUP_KNOWN - {"user", "database"}}
        for k in p:
            if k.lower() not in STARTUP_KNOWN | REDSHIFT_STARTUP | {"options"} and not k.startswith("_pq_."):
                raise PgError("42704", 'unrecognized configuration parameter "%s"' % k, severity="FATAL")
        for k, v in re.findall(r"(?:-c\s*|--)([\w.]+)=((?:\\.|[^\s])*)", p.get("options", "")):
            if k.lower() in GUC_MISSING:
                raise PgError("42704", 'unrecognized configuration parameter "%s"' % k, severity="FATAL")
            if k.lower() not in GUC_REDSHIFT:
                params[k] = re.sub(r"\\(.)", r"\1", v)
        asked = params.get("client_encoding", "")
        if not asked or asked.lower() in ("unicode", "auto"):
            params["client_encoding"] = "UTF8"
        params.update({"standard_conforming_strings": "off", "escape_string_warning": "off", "TimeZone": "UTC",
                       "DateStyle": "ISO, MDY", "default_transaction_isolation":
                       "serializable" if ISOLATION == "serializable" else "repeatable read"})
        self.unicode = not asked or asked.lower() in ("unicode", "auto")
        self.be = Backend()
        early = await self.be.connect(DBNAME, params)
        self.out(msg(b"R", struct.pack("!I", 0)))
        for t, b in early:
            if t == b"K":
                self.pid = struct.unpack("!I", b[:4])[0]
                self.out(msg(t, b))
            else:
                self.parameter_status(b)
        self.out(msg(b"S", z("padb_version") + z(BUILD)))
        self.out(msg(b"Z", b"I"))
        return True

    async def authenticate(self, user):
        iam = user.startswith(("IAM:", "IAMA:", "IAMR:"))       # of GetClusterCredentials, GetCredentials
        if AUTH == "trust":
            return
        if AUTH == "sha256":           # a user made with a SHA256 password: libpq stops at method 13
            self.out(msg(b"R", struct.pack("!III", 13, 0, 8) + secrets.token_bytes(8) + struct.pack("!I", 8)
                         + secrets.token_bytes(8) + struct.pack("!I", 1000)))
            await self.drain()
            await self.read()
            raise PgError("28000", 'password authentication failed for user "%s"' % user, severity="FATAL")
        salt = secrets.token_bytes(4)
        self.out(msg(b"R", struct.pack("!I", 3)) if AUTH == "password" else msg(b"R", struct.pack("!I", 5) + salt))
        await self.drain()
        t, b = await self.read()
        given = b.rstrip(b"\0").decode("utf-8", "replace")
        wanted = IAM_PASSWORD if iam else PASSWORD
        if AUTH == "password":
            ok = given == wanted
        else:
            inner = hashlib.md5((wanted + user).encode()).hexdigest()
            ok = given == "md5" + hashlib.md5(inner.encode() + salt).hexdigest()
        if t != b"p" or not given or not (ok or (iam and not IAM_PASSWORD)) or not (iam or user == USER):
            raise PgError("28000", 'password authentication failed for user "%s"' % user, severity="FATAL")

    def parameter_status(self, body):
        name, at = take_z(body)
        value, _ = take_z(body, at)
        if name == "server_version":
            value = "8.0.2"
        elif name == "client_encoding" and value == "UTF8" and self.unicode:
            value = "UNICODE"
        elif name == "server_encoding":
            value = "UNICODE"
        elif name not in ("client_encoding", "DateStyle", "integer_datetimes", "is_superuser", "session_authorization",
                          "TimeZone"):
            return                     # standard_conforming_strings and the like came later
        self.out(msg(b"S", z(name) + z(value)))

    # -- main loop

    async def run(self):
        try:
            if not await self.start():
                return
            await self.drain()
            client = asyncio.ensure_future(self.read())
            while True:
                backend = asyncio.ensure_future(self.be.queue.get())
                await asyncio.wait({client, backend}, return_when=asyncio.FIRST_COMPLETED)
                if backend.done():         # the server speaks unasked: a shutdown, a changed setting
                    t, b = backend.result()
                    if not t:
                        raise Drop()
                    self.relay_async(t, b)
                    await self.drain()
                    continue
                backend.cancel()
                t, b = client.result()
                if t == b"X":
                    return
                await self.message(t, b)
                await self.drain()
                client = asyncio.ensure_future(self.read())
        except PgError as e:
            self.error(e)
            try:
                await self.writer.drain()
            except ConnectionError:
                pass
        except (Drop, asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        except Exception as e:             # a bug of the double: say so, in the log and to the client
            import traceback
            traceback.print_exc()
            self.error(PgError("XX000", "Redshift double: %s: %s" % (type(e).__name__, e), severity="FATAL"))
        finally:
            if self.be:
                self.be.close()
            try:
                if self.mute:
                    self.writer.transport.abort()
                self.writer.close()
            except Exception:
                pass

    async def message(self, t, b):
        log(self.id, t, b[:300])
        if t == b"Q":
            if self.implicit or self.skip:   # a pipeline that never synced: settle it first
                await self.sync(False)
            self.simple = True
            await self.simple_query(b)
        elif t in (b"P", b"B", b"D", b"E", b"C"):
            self.simple = False
            if self.skip:
                return
            try:
                await {b"P": self.parse, b"B": self.bind, b"D": self.describe, b"E": self.execute,
                       b"C": self.close_it}[t](b)
            except PgError as e:
                if not e.from_backend:
                    await self.fail_transaction()
                self.error(self.translate(e))
                self.skip = True
        elif t == b"S":
            self.simple = False
            await self.sync(True)
        elif t in (b"H", b"d", b"c", b"f"):
            pass                             # everything has been flushed already
        else:
            raise PgError("08P01", "invalid frontend message type %d" % t[0], severity="FATAL")

    # -- talking to the backend

    def relay_async(self, t, b):
        if t == b"N":
            f = parse_fields(b)
            f.pop("V", None)
            for pattern, to in NOTICE_TEXTS:
                if pattern.match(f.get("M", "")):
                    f["M"], f["S"] = pattern.sub(to, f["M"]), "INFO"
            self.out(msg(b"N", fields_body(f)))
        elif t == b"S":
            self.parameter_status(b)
        elif t == b"E":
            self.out(msg(b"E", fields_body({k: v for k, v in parse_fields(b).items() if k not in "Vstcdn"})))

    def complete(self, b):
        """A CommandComplete: notes the transaction's state, cuts the counts Redshift does not give."""
        tag = b.rstrip(b"\0").decode()
        first = tag.split(" ")[0]
        if first == "BEGIN":
            self.status, self.implicit = "T", False
        elif first in ("COMMIT", "ROLLBACK"):
            self.status, self.implicit = "I", False
        if first in ("SELECT", "COPY", "FETCH", "MERGE"):
            tag = first
        return msg(b"C", z(tag))

    @staticmethod
    def row_description(b):
        """jsonb is SUPER's carrier: give it SUPER's type number, 4000."""
        n, at, out = struct.unpack("!H", b[:2])[0], 2, [b[:2]]
        for _ in range(n):
            end = b.index(b"\0", at) + 1
            table, attr, oid, size, mod, fmt = struct.unpack("!IHIhiH", b[end:end + 18])
            oid = {3802: 4000, 17: 6551}.get(oid, oid)
            out.append(b[at:end] + struct.pack("!IHIhiH", table, attr, oid, size, mod, fmt))
            at = end + 18
        return b"".join(out)

    def backend_error(self, b):
        e = PgError("XX000", "?")
        e.fields, e.from_backend = parse_fields(b), True
        return e

    def translate(self, e):
        """Redshift's words for errors that PostgreSQL raised."""
        f = e.fields
        m = f.get("M", "")
        if f.get("C") == "40001":
            if ISOLATION == "serializable":
                return self.violation()
            return PgError("XX000", "could not complete because of conflict with concurrent transaction")
        if f.get("C") == "57014":        # a cancel and a statement_timeout read alike ("statement_timeout")
            return PgError("57014", "Query (%d) canceled on user's request" % next_query())
        if m.startswith("MERGE command cannot affect row a second time"):
            return PgError("XX000", "Found multiple matches to update the same tuple.")
        n = re.search(r'violates check constraint "rsd_len_(\d+)_', m)
        if n:
            return PgError("22001", "value too long for type character varying(%s)" % n[1])
        n = re.match(r'null value in column "(.*?)" of relation', m)
        if n:
            text = "Cannot insert a NULL value into column " + n[1]
            return PgError("XX000", text, detail_block(text, 8007, "query execution", next_query(), "column:0",
                                                       "query0_120"))
        if m.startswith("cannot insert a non-DEFAULT value into column"):
            return PgError("0A000", "cannot set an identity column to a value")
        if f.get("C") == "42601" and "P" in f:
            f.pop("P")
        return e

    def violation(self):
        n = QUERY_ID[0]
        return PgError("XX000", "1023", "Serializable isolation violation on table - %d, transactions forming the "
                       "cycle are: %d, %d (pid:%d)" % (100000 + n % 1000, n, n + 2, self.pid))

    async def own(self, sql):
        """A statement of the double's own in the client's session; its rows."""
        if self.simple:
            self.be.send(msg(b"Q", z(sql)))
        else:
            self.be.send(msg(b"P", z("_rsd") + z(sql) + b"\0\0") + msg(b"B", z("_rsd") + z("_rsd") + b"\0" * 6)
                         + msg(b"E", z("_rsd") + b"\0\0\0\0") + msg(b"C", b"P" + z("_rsd"))
                         + msg(b"C", b"S" + z("_rsd")) + msg(b"H"))
        rows, err, closed = [], None, 0
        while True:
            t, b = await self.be.get()
            if t == b"D":
                rows.append(data_row(b))
            elif t == b"C":
                self.complete_own(b)
            elif t == b"E":
                err = self.backend_error(b)
                if not self.simple:
                    raise err
            elif t == b"3":
                closed += 1
                if closed == 2:
                    return rows
            elif t == b"Z":
                self.status = b.decode()
                if err:
                    raise err
                return rows

    def complete_own(self, b):
        first = b.rstrip(b"\0").split(b" ")[0]
        if first == b"BEGIN":
            self.status = "T"
        elif first in (b"COMMIT", b"ROLLBACK"):
            self.status = "I"

    async def own_copy(self, sql, load):
        """COPY ... FROM STDIN in the client's session, fed from the loader's chunks."""
        if self.simple:
            self.be.send(msg(b"Q", z(sql)))
        else:
            self.be.send(msg(b"P", z("_rsd") + z(sql) + b"\0\0") + msg(b"B", z("_rsd") + z("_rsd") + b"\0" * 6)
                         + msg(b"E", z("_rsd") + b"\0\0\0\0") + msg(b"H"))
        err, failure = None, None
        while True:
            t, b = await self.be.get()
            if t == b"E":
                err = self.backend_error(b)
                break
            if t == b"G":
                break
        if err is None:
            chunks = load.chunks()
            loop = asyncio.get_running_loop()
            step = lambda: next(chunks, None)                           # noqa: E731
            try:
                while self.be.queue.empty():                            # else it has failed already
                    piece = await loop.run_in_executor(None, step)
                    if piece is None:
                        break
                    for i in range(0, len(piece), 1 << 18):
                        self.be.send(msg(b"d", piece[i:i + (1 << 18)]))
                    await self.be.writer.drain()
            except (PgError, LoadFailure) as e:
                failure = e
            if failure is not None:
                self.be.send(msg(b"f", z("refused by the Redshift double")))
            else:
                self.be.send(msg(b"c"))
            if not self.simple:
                self.be.send(msg(b"C", b"P" + z("_rsd")) + msg(b"C", b"S" + z("_rsd")) + msg(b"H"))
        closed = 0
        while True:
            if err is not None and not self.simple:
                break                        # the backend now skips to Sync
            t, b = await self.be.get()
            if t == b"E":
                err = self.backend_error(b)
            elif t == b"3":
                closed += 1
                if closed == 2:
                    break
            elif t == b"Z":
                self.status = b.decode()
                break
        if failure is not None:
            e = failure.error if isinstance(failure, LoadFailure) else failure
            e.from_backend = True            # the CopyFail has failed the transaction
            raise failure
        if err is not None:
            raise err

    async def fail_transaction(self):
        """Puts the backend's transaction into its failed state, as an error of its own would."""
        if self.simple:
            if self.status == "T":
                try:
                    await self.own("refused by the Redshift double")
                except PgError:
                    pass
        else:
            self.be.send(msg(b"P", z("") + z("refused by the Redshift double") + b"\0\0") + msg(b"H"))
            while (await self.be.get())[0] != b"E":
                pass

    async def begin_implicit(self):
        if self.status == "I" and not self.implicit:
            await self.own("BEGIN")
            self.implicit, self.status = True, "T"

    async def lock(self, tables):
        """One transaction writes a table at a time; readers are not held up ("Isolation levels").
        Taken before the statement's snapshot, so that a waiter sees what it waited for."""
        for t in tables:
            if t.lower().startswith(('"rs_sys"', '"pg_catalog"')):
                continue
            await self.own("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE" % t)

    def inject(self, plan):
        return take_injection(plan.source, ("1023", "conflict", "error", "drop", "drop_after", "delay"))

    async def apply_injection(self, plan):
        inj = self.inject(plan)
        if not inj:
            return
        log(self.id, "injected", inj["kind"])
        k = inj["kind"]
        if k == "delay":
            await asyncio.sleep(float(inj["arg"] or 1000) / 1000)
        elif k == "drop":
            self.mute = True
            raise Drop()
        elif k == "drop_after":
            self.mute = True
        else:
            if k == "1023":
                e = self.violation()
            elif k == "conflict":
                e = PgError("XX000", "could not complete because of conflict with concurrent transaction")
            else:
                code, _, text = inj["arg"].partition(":")
                e = PgError(code or "XX000", text or "injected error")
            if plan.first == "COMMIT" and self.status != "I":
                await self.own("ROLLBACK")       # a commit that fails ends the transaction
                self.status, self.implicit, e.from_backend = "I", False, True
            raise e

    # -- virtual statements

    async def virtual(self, plan):
        """Runs what the backend cannot run as it is; returns the tag."""
        if self.status == "E":
            raise PgError("25P02", "current transaction is aborted, commands ignored until end of transaction block")
        if getattr(plan, "no_block", None) and self.status == "T" and not self.implicit:
            raise PgError("25001", plan.no_block)
        if hasattr(plan, "copy"):
            await self.begin_implicit()
            await self.do_copy(plan)
            return plan.tag
        if plan.steps:
            await self.begin_implicit()
            await self.lock(plan.locks)
            for s in plan.steps:
                await self.own(s)
            if getattr(plan, "then_commit", False):
                await self.own("COMMIT")
                self.implicit, self.status = False, "I"
        return plan.tag

    async def do_copy(self, plan):
        spec = plan.copy
        name = qname(spec["table"])
        try:
            await self.lock([name])
        except PgError as e:
            if e.fields.get("C") in ("42P01", "3F000"):
                e.fields.update(C="XX000", M="Cannot COPY into nonexistent table " + spec["table"][-1])
            raise
        query = self.last_copy_id = next_query()
        self.last_copy_count = 0
        rows = await self.own(
            "SELECT a.attname, format_type(a.atttypid, NULL), a.atttypmod, a.attnotnull, a.attidentity, "
            "a.atthasdef, a.attrelid FROM pg_catalog.pg_attribute a WHERE a.attrelid = %s::regclass "
            "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum" % quote_lit(name))
        oid = int(rows[0][6])
        table = {r[0]: Column(r) for r in rows}
        ids = spec.get("EXPLICIT_IDS")
        if spec["columns"] is None:          # "Column mapping options": IDENTITY left out without EXPLICIT_IDS
            wanted = [c for c in table.values() if not c.identity or (c.identity == "a" and ids)]
        else:
            wanted = []
            for c in spec["columns"]:
                if c not in table:
                    raise PgError("42703", 'column "%s" of relation "%s" does not exist' % (c, spec["table"][-1]))
                wanted.append(table[c])
            if any(c.identity == "a" for c in wanted) and not ids:
                raise PgError("0A000", "Column list with an IDENTITY column needs EXPLICIT_IDS")
        for c in table.values():             # left out and NOT NULL without a default
            if c not in wanted and c.notnull and not c.identity and c.default != "t":
                raise Load(spec, [c], "", oid, query).null_failure(c).error
        role = spec["role"]
        if role.rstrip("/").endswith("denied"):
            text = "Not authorized to get credentials of role " + role
            raise PgError("XX000", text, detail_block(text, 30000, "", query, "xen_aws_credentials_mgr.cpp:402",
                                                      "padbmaster"))
        load = Load(spec, wanted, spec["table"][-1], oid, query)
        # PostgreSQL's COPY writes identity columns as given, which is what EXPLICIT_IDS asks for
        sql = "COPY %s (%s) FROM STDIN (FORMAT csv)" % (name, ", ".join(quote_ident(c.name) for c in wanted))
        try:
            await self.own_copy(sql, load)
        except LoadFailure as e:
            await record_failure(e, self.pid)
            raise e.error
        self.last_copy_count = load.rows
        await ADMIN.query("; ".join(
            "INSERT INTO rs_sys.stl_load_commits VALUES (100, %d, 0, %s, %s, 0, %d, -1, now() AT TIME ZONE 'UTC', 1, %s)"
            % (query, quote_lit(spec["url"][:256]), quote_lit(u[:256]), n, quote_lit(spec["format"] or "Text"))
            for u, n, _ in load.files) or "SELECT 1")
        self.notice("INFO", "Load into table '%s' completed, %d record(s) loaded successfully." % (load.table, load.rows))

    def plan_for(self, toks):
        plan = classify(toks)
        if plan.sql and "rs_sys.pg_last_copy_" in plan.sql:
            plan.sql = re.sub(r"rs_sys\.pg_last_copy_(id|count)\s*\(\s*\)",
                              lambda m: "rs_sys.pg_last_copy_%s(%d)" % (
                                  m[1], self.last_copy_id if m[1] == "id" else self.last_copy_count), plan.sql)
        return plan

    # -- simple protocol

    async def simple_query(self, body):
        sql = take_z(body)[0]
        ok = True
        try:
            if len(body) > MAX_STATEMENT:
                raise PgError("54000", "Statement is too large. Statement Size: %d bytes. Maximum Allowed: %d bytes"
                              % (len(body), MAX_STATEMENT))
            stmts = split_sql(sql)
            if not stmts:
                self.out(msg(b"I"))
            for toks in stmts:
                self.flush_held()
                plan = self.plan_for(toks)
                await self.apply_injection(plan)
                await self.simple_statement(plan, len(stmts) > 1)
        except PgError as e:
            ok = False
            self.held = b""
            if not e.from_backend:
                await self.fail_transaction()
            self.error(self.translate(e))
        await self.finish_implicit(ok)
        self.flush_held()
        self.out(msg(b"Z", self.status.encode()))
        if self.mute:
            raise Drop()

    def flush_held(self):
        if self.held:
            self.out(self.held)
            self.held = b""

    async def simple_statement(self, plan, several):
        """One statement. Several in one string are one transaction unless they say otherwise."""
        if several and plan.first not in ("BEGIN", "COMMIT", "ROLLBACK", "VACUUM", "SET", "SHOW") and \
                not (plan.kind == "virtual" and getattr(plan, "no_block", None)):
            await self.begin_implicit()
        if plan.kind == "virtual":
            self.held = msg(b"C", z(await self.virtual(plan)))
            return
        if plan.first == "BEGIN" and self.implicit:      # the transaction becomes the client's own
            self.implicit = False
            self.held = msg(b"C", z("BEGIN"))
            return
        if plan.locks and self.status != "E":
            await self.begin_implicit()
            await self.lock(plan.locks)
        self.be.send(msg(b"Q", z(plan.sql)))
        err = None
        while True:
            t, b = await self.be.get()
            if t == b"C":
                self.held = self.complete(b)
            elif t == b"T":
                self.out(msg(t, self.row_description(b)))
            elif t == b"E":
                err = self.backend_error(b)
            elif t in (b"N", b"S"):
                self.relay_async(t, b)
            elif t == b"Z":
                self.status = b.decode()
                if err:
                    raise err
                return
            else:
                self.out(msg(t, b))
                if t == b"D":
                    await self.drain()

    async def finish_implicit(self, ok):
        if not self.implicit:
            return
        self.implicit = False
        try:
            await self.own("COMMIT" if ok and self.status == "T" else "ROLLBACK")
        except PgError as e:
            self.held = b""
            self.error(self.translate(e))

    # -- extended protocol: each message is sent with a Flush and its answer awaited

    async def ask(self, data, until):
        self.be.send(data + msg(b"H"))
        while True:
            t, b = await self.be.get()
            if t == b"E":
                raise self.backend_error(b)
            if t in (b"N", b"S"):
                self.relay_async(t, b)
                continue
            if t == b"C":
                self.out(self.complete(b))
            elif t == b"T":
                self.out(msg(t, self.row_description(b)))
            else:
                self.out(msg(t, b))
                if t == b"D":
                    await self.drain()
            if t in until:
                return

    async def parse(self, b):
        name, at = take_z(b)
        sql, at = take_z(b, at)
        if len(b) > MAX_STATEMENT:
            raise PgError("54000", "Statement is too large. Statement Size: %d bytes. Maximum Allowed: %d bytes"
                          % (len(b), MAX_STATEMENT))
        stmts = split_sql(sql)
        if len(stmts) > 1:
            raise PgError("42601", "cannot insert multiple commands into a prepared statement")
        if not stmts:
            self.stmts[name] = Plan("", "")
            return await self.ask(msg(b"P", z(name) + z("") + b"\0\0"), (b"1",))
        plan = self.plan_for(stmts[0])
        if plan.kind == "virtual":
            self.stmts[name] = plan
            self.out(msg(b"1"))
            return
        if plan.locks and self.status != "E":        # the backend's Parse takes the snapshot
            await self.begin_implicit()
            await self.lock(plan.locks)
        await self.ask(msg(b"P", z(name) + z(plan.sql) + b[at:]), (b"1",))
        self.stmts[name] = plan

    async def bind(self, b):
        portal, at = take_z(b)
        name, _ = take_z(b, at)
        plan = self.stmts.get(name)
        if plan is None:
            raise PgError("26000", 'prepared statement "%s" does not exist' % name)
        if plan.kind == "virtual":
            self.portals[portal] = plan
            self.out(msg(b"2"))
            return
        await self.ask(msg(b"B", b), (b"2",))
        self.portals[portal] = plan

    async def describe(self, b):
        kind, name = b[:1], take_z(b, 1)[0]
        plan = (self.stmts if kind == b"S" else self.portals).get(name)
        if plan is not None and plan.kind == "virtual":
            self.out((msg(b"t", b"\0\0") if kind == b"S" else b"") + msg(b"n"))
            return
        await self.ask(msg(b"D", b), (b"T", b"n"))

    async def execute(self, b):
        portal, _ = take_z(b)
        plan = self.portals.get(portal)
        if plan is None:
            raise PgError("34000", 'portal "%s" does not exist' % portal)
        await self.apply_injection(plan)
        if plan.kind == "virtual":
            self.out(msg(b"C", z(await self.virtual(plan))))
            return
        if plan.first == "BEGIN" and self.implicit:
            self.implicit = False
            self.out(msg(b"C", z("BEGIN")))
            return
        if plan.locks and self.status != "E":
            await self.begin_implicit()
            await self.lock(plan.locks)
        await self.ask(msg(b"E", b), (b"C", b"I", b"s"))

    async def close_it(self, b):
        kind, name = b[:1], take_z(b, 1)[0]
        plan = (self.stmts if kind == b"S" else self.portals).pop(name, None)
        if plan is not None and plan.kind == "virtual":
            self.out(msg(b"3"))
            return
        await self.ask(msg(b"C", b), (b"3",))

    async def sync(self, answer):
        if self.implicit and not self.skip:
            try:
                await self.own("COMMIT")
                self.implicit = False
            except PgError as e:
                self.error(self.translate(e))
        self.be.send(msg(b"S"))
        while True:
            t, b = await self.be.get()
            if t == b"Z":
                self.status = b.decode()
                break
            if t in (b"N", b"S"):
                self.relay_async(t, b)
            elif t == b"E":                  # a commit that failed
                self.error(self.translate(self.backend_error(b)))
        self.skip = False
        if self.implicit:
            self.simple = True
            await self.finish_implicit(False)
            self.simple = False
        self.portals.clear() if self.status == "I" else None
        if answer:
            self.out(msg(b"Z", self.status.encode()))
        if self.mute:
            raise Drop()


# --------------------------------------------------------------------------------- server


async def main():
    for attempt in range(50):
        try:
            await bootstrap()
            break
        except (ConnectionError, OSError):
            if attempt == 49:
                raise
            await asyncio.sleep(0.2)
    tls = None
    if TLS_CERT and SSL_MODE != "off":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(TLS_CERT, TLS_KEY)
    sessions = set()

    async def serve(reader, writer):
        task = asyncio.current_task()
        sessions.add(task)
        try:
            await Session(reader, writer, tls).run()
        finally:
            sessions.discard(task)

    server = await asyncio.start_server(serve, LISTEN_HOST, LISTEN_PORT, limit=1 << 20)
    stop = asyncio.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(s, stop.set)
    print("redshift_double: listening on %s:%d, database %s, S3 at %s"
          % (LISTEN_HOST, LISTEN_PORT, DBNAME, S3_ENDPOINT or "(unset)"), flush=True)
    await stop.wait()
    server.close()
    for t in list(sessions):
        t.cancel()


if __name__ == "__main__":
    asyncio.run(main())
