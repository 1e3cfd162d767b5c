// What is refused: each mistake with its place and its mend.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static const struct {
    const char *text, *message;
    sl_status status;
} broken[] = {
    /* YAML */
    {"a: [1, 2",
     "configuration:2:1: did not find expected ',' or ']' (while parsing a flow "
     "sequence from line 1)",
     SL_ESYNTAX},
    {"memory: 1GiB\nmemory: 2GiB\n",
     "configuration:2:1: duplicate key 'memory' (first on line 1)", SL_ESYNTAX},
    {"memory: 1GiB\n---\nmemory: 2GiB\n",
     "configuration:2:1: a second document: a configuration is one", SL_ESYNTAX},
    {"- a\n- b\n",
     "configuration:1:1: expected keys and values, such as 'data_dir: ./sluice-data'",
     SL_ESYNTAX},
    {"hello",
     "configuration:1:1: expected keys and values, such as 'data_dir: ./sluice-data'",
     SL_ESYNTAX},
    {"? [a]\n: b\n", "configuration:1:3: a key must be a plain word", SL_ESYNTAX},
    {"data_dir: *x\n", "configuration:1:11: no anchor '&x' before this alias",
     SL_ESYNTAX},
    {"lake: &x { a: *x }\n", "configuration:1:15: alias '*x' inside its own anchor",
     SL_ESYNTAX},
    {"lake: { <<: 3 }\n", "configuration:1:7: '<<' needs a map or a list of maps",
     SL_ESYNTAX},
    {"data_dir: !shell x\n", "configuration:1:11: unknown tag '!shell'", SL_ESYNTAX},
    {"data_dir: !shell [x]\n", "configuration:1:11: unknown tag '!shell'", SL_ESYNTAX},
    {"# \xc3\xa4\n\ndata_dir: \xff\n", "configuration:3:11: invalid leading UTF-8 octet",
     SL_ESYNTAX},
    {"data_dir: @x\n",
     "configuration:1:11: found character that cannot start any token (while scanning "
     "for the next "
     "token from line 1); put a value that begins so in quotes",
     SL_ESYNTAX},
    {"# \xc3\xa4\nhttp:\n\tlisten: x\n",
     "configuration:3:1: found character that cannot start any token (while scanning for the next token from line 3); this is a tab: "
     "indent with spaces",
     SL_ESYNTAX},
    {"data_dir: a: b\n",
     "configuration:1:12: mapping values are not allowed in this context; put a value that holds ': ' in quotes, and ':' behind a key on "
     "the line above",
     SL_ESYNTAX},
    {"http\n  listen: x\n",
     "configuration:2:9: mapping values are not allowed in this context; put a value that holds ': ' in quotes, and ':' behind a key on "
     "the line above",
     SL_ESYNTAX},
    {"http:\n    listen: x\n   auth: none\n",
     "configuration:3:4: did not find expected key (while parsing a block mapping from line 1); what belongs together begins in the same "
     "column",
     SL_ESYNTAX},
    {"http:\n  listen: x\nlake\n",
     "configuration:4:1: could not find expected ':' (while scanning a simple key from line 3); a key has ':' and a space behind it",
     SL_ESYNTAX},
    {"data_dir: \"a\\0b\"\n", "configuration:1:11: a text with a NUL character",
     SL_ESYNTAX},
    {"data_dir: \"\xff\"\n", "configuration:1:12: invalid leading UTF-8 octet",
     SL_ESYNTAX},
    {"http: { listen: ${SET} }\n",
     "configuration:1:18: did not find expected ',' or '}' (while parsing a flow mapping "
     "from line "
     "1); inside { } and [ ] put \"${…}\" in quotes",
     SL_ESYNTAX},
    /* keys */
    {"strems: {}\n", "configuration:1:1: unknown key 'strems' (did you mean 'streams'?)",
     SL_EINVAL},
    {"http:\n  listne: x\n",
     "configuration:2:3: unknown key 'listne' (did you mean 'listen'?)", SL_EINVAL},
    {"http: { tls: { zzz: x } }\n",
     "configuration:1:16: unknown key 'zzz' (known here: cert, key)", SL_EINVAL},
    {"http: 8080\n",
     "configuration:1:7: http: expected a map with keys such as listen, auth, tls, "
     "max_body, "
     "max_event, max_connections, header_timeout, idle_timeout",
     SL_EINVAL},
    {"streams: [a]\n", "configuration:1:10: streams: expected a map of names", SL_EINVAL},
    {"streams: { s: { lake: { compres: zstd } } }\n",
     "configuration:1:25: unknown key 'compres' (known here: to, partition_by, max_age, "
     "target_size, profile, codec)",
     SL_EINVAL},
    {"data_dirr: x\nmemry: y\n",
     "configuration:1:1: unknown key 'data_dirr' (did you mean 'data_dir'?)\n"
     "configuration:2:1: unknown key 'memry' (did you mean 'memory'?)",
     SL_EINVAL},
    /* values */
    {"memory: lots\n",
     "configuration:1:9: memory: 'lots' is not a size such as 512MiB, 10GB or 4096",
     SL_EINVAL},
    {"memory: 1MiB\n", "configuration:1:9: memory: 1MiB is below the minimum of 64MiB",
     SL_EINVAL},
    {"http: { max_body: 1GiB }\n",
     "configuration:1:19: http.max_body: 1GiB is above the maximum of 256MiB", SL_EINVAL},
    {"memory: 99999999999999999999\n",
     "configuration:1:9: memory: '99999999999999999999' is not a size such as 512MiB, "
     "10GB or 4096",
     SL_EINVAL},
    {"memory: 16777216TiB\n",
     "configuration:1:9: memory: '16777216TiB' is not a size such as 512MiB, 10GB or "
     "4096",
     SL_EINVAL},
    {"memory: [1]\n",
     "configuration:1:9: memory: expected a size such as 512MiB, 10GB or 4096, "
     "not a list",
     SL_EINVAL},
    {"workers: 0\n", "configuration:1:10: workers: 0 is below the minimum of 1",
     SL_EINVAL},
    {"workers: -1\n", "configuration:1:10: workers: '-1' is not a whole number",
     SL_EINVAL},
    {"cut: { every: 10 }\n",
     "configuration:1:15: cut.every: '10' is not a duration such as 250ms, 10s, 5m, 1h "
     "or 7d",
     SL_EINVAL},
    {"journal: { durability: fsynk }\n",
     "configuration:1:24: journal.durability: 'fsynk' is not one of os, fsync (did you "
     "mean "
     "'fsync'?)",
     SL_EINVAL},
    {"log: { level: loud }\n",
     "configuration:1:15: log.level: 'loud' is not one of error, warn, info, debug",
     SL_EINVAL},
    {"http: { listen: \"8080\" }\n",
     "configuration:1:17: http.listen: '8080' is not an address such as 127.0.0.1:8080, "
     "[::1]:8080 "
     "or :8080",
     SL_EINVAL},
    {"http: { listen: \"127.0.0.1:99999\" }\n",
     "configuration:1:17: http.listen: '127.0.0.1:99999' is not an address such as "
     "127.0.0.1:8080, [::1]:8080 or :8080",
     SL_EINVAL},
    {"timezone: Europe/Berln\n",
     "configuration:1:11: timezone: no time zone 'Europe/Berln' below "
     "/usr/share/zoneinfo (names "
     "look like Europe/Berlin; is tzdata installed?)",
     SL_ENOTFOUND},
    {"timezone: ../../../etc/passwd\n",
     "configuration:1:11: timezone: no time zone '../../../etc/passwd' below "
     "/usr/share/zoneinfo "
     "(names look like Europe/Berlin; is tzdata installed?)",
     SL_ENOTFOUND},
    /* variables */
    {"data_dir: ${NOBODY}\n",
     "configuration:1:11: the environment variable NOBODY is not set (${NOBODY:-} makes "
     "it empty, "
     "${NOBODY:-x} gives it a default)",
     SL_EINVAL},
    {"data_dir: ${NOBODY:?say where}\n", "configuration:1:11: NOBODY: say where",
     SL_EINVAL},
    {"data_dir: ${EMPTY:?say where}\n", "configuration:1:11: EMPTY: say where",
     SL_EINVAL},
    {"data_dir: ${SET\n",
     "configuration:1:11: '${' without '}' (write '$$' for a dollar sign)", SL_EINVAL},
    {"data_dir: ${1a}\n",
     "configuration:1:11: '${1a}': expected ${NAME}, ${NAME:-default} or "
     "${NAME:?message}",
     SL_EINVAL},
    {"data_dir: ${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-x}}}}}}}}}\n",
     "configuration:1:11: defaults within defaults: more than 8 levels", SL_EINVAL},
    {"workers: ${SET}\n", "configuration:1:10: workers: 'value' is not a whole number",
     SL_EINVAL},
    /* who may listen where */
    {"http: { listen: 0.0.0.0:8080 }\n",
     "configuration:1:17: http.listen: 0.0.0.0:8080 is reachable from other machines and "
     "http.auth "
     "is not set: either http: { auth: { tokens: [\"${SLUICE_TOKEN}\"] } }, or http: { "
     "auth: none } "
     "to let everybody in",
     SL_EINVAL},
    {"http: { listen: \":80\", auth: { tokens: [] } }\n",
     "configuration:1:17: http.listen: 0.0.0.0:80 is reachable from other machines and "
     "http.auth is not "
     "set: either http: { auth: { tokens: [\"${SLUICE_TOKEN}\"] } }, or http: { auth: "
     "none } to let "
     "everybody in",
     SL_EINVAL},
    {"admin: { listen: 10.0.0.1:8081 }\n",
     "configuration:1:18: admin.listen: 10.0.0.1:8081 is reachable from other machines "
     "and "
     "http.auth is not set: either http: { auth: { tokens: [\"${SLUICE_TOKEN}\"] } }, or "
     "http: { "
     "auth: none } to let everybody in",
     SL_EINVAL},
    {"http: { auth: nobody }\n",
     "configuration:1:15: http.auth: expected the word none, or a section such as { "
     "tokens: "
     "[\"…\"] }",
     SL_EINVAL},
    {"http: { auth: { tokens: [\"\"] } }\n",
     "configuration:1:26: http.auth.tokens: an empty text", SL_EINVAL},
    {"http: { auth: { tokens: [\"a b\"] } }\n",
     "configuration:1:26: http.auth.tokens: a token may hold letters, digits and -._~+/= "
     "only",
     SL_EINVAL},
    {"http: { auth: { token_file: /nowhere/token } }\n",
     "configuration:1:29: http.auth.token_file: cannot read '/nowhere/token': No such "
     "file or "
     "directory",
     SL_ENOTFOUND},
    {"http: { auth: { aws_keys: AKID } }\n", "configuration:1:27: http.auth.aws_keys: expected a list of { access_key_id, secret_access_key }", SL_EINVAL},
    {"http: { auth: { aws_keys: [AKID] } }\n", "configuration:1:28: http.auth.aws_keys: expected { access_key_id, secret_access_key }, or ID:SECRET", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ access_key_id: A }] } }\n", "configuration:1:28: http.auth.aws_keys: secret_access_key (or secret_access_key_file) is missing", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ secret_access_key: A }] } }\n", "configuration:1:28: http.auth.aws_keys: access_key_id is missing", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ access_key_id: A, secret: A }] } }\n", "configuration:1:48: unknown key 'secret' (known here: access_key_id, secret_access_key, secret_access_key_file)", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ access_key_id: A-B, secret_access_key: c }] } }\n", "configuration:1:28: http.auth.aws_keys: an access_key_id has letters, digits and '_', at most 128", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ access_key_id: A, secret_access_key: a b }] } }\n", "configuration:1:28: http.auth.aws_keys: a secret_access_key has printable characters of ASCII, and no blanks", SL_EINVAL},
    {"http: { auth: { aws_keys: [A:b, A:c] } }\n", "configuration:1:33: http.auth.aws_keys: an access_key_id is there twice", SL_EINVAL},
    {"http: { auth: { aws_keys: [{ access_key_id: A, secret_access_key_file: /nowhere }] } }\n",
     "configuration:1:72: http.auth.aws_keys: secret_access_key_file: cannot read '/nowhere': No such file or directory", SL_ENOTFOUND},
    {"http: { auth: { aws_keys: [{ access_key_id: A, secret_access_key_file: x, secret_access_key: y }] } }\n",
     "configuration:1:28: http.auth.aws_keys: secret_access_key and secret_access_key_file name two secrets: remove one", SL_EINVAL},
    {"http: { tls: { cert: a.pem } }\n",
     "configuration:1:14: http.tls: needs both cert and key", SL_EINVAL},
    /* sizes that must fit together */
    {"http: { max_body: 1MiB, max_event: 2MiB }\n",
     "configuration:1:36: http.max_event: 2MiB is more than http.max_body (1MiB)",
     SL_EINVAL},
    {"memory: 64MiB\nhttp:\n  max_body: 20MiB\n",
     "configuration:3:13: http.max_body: 20MiB is more than a quarter of memory (64MiB)",
     SL_EINVAL},
    {"journal: { segment_size: 4MiB }\n",
     "configuration:1:26: journal.segment_size: 4MiB is less than http.max_body (10MiB) "
     "and 1MiB",
     SL_EINVAL},
    {"journal: { quota: 100MiB }\n",
     "configuration:1:19: journal.quota: 100MiB is less than two segments "
     "(journal.segment_size: "
     "64MiB)",
     SL_EINVAL},
    {"http:\n  max_body: 100MiB\nmemory: 1GiB\n",
     "configuration:2:13: journal.segment_size: 64MiB is less than http.max_body "
     "(100MiB) and 1MiB",
     SL_EINVAL},
    {"http: { idle_timeout: 1w }\n",
     "configuration:1:23: http.idle_timeout: 1w is above the maximum of 1d", SL_EINVAL},
    {"lake: { partition_by: [[a]] }\n",
     "configuration:1:24: lake.partition_by: expected a list such as [a, b], not a list",
     SL_EINVAL},
    {"lake: { partition_by: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q] }\n",
     "configuration:1:23: lake.partition_by: more than 16 entries", SL_ELIMIT},
    {"streams: { s: { add: [{}] } }\n",
     "configuration:1:23: streams.NAME.add: expected a list such as [a, b], not a map",
     SL_EINVAL},
    {"data_dir: { a: b }\n", "configuration:1:11: data_dir: expected a text, not a map",
     SL_EINVAL},
    /* targets */
    {"lake: { to: gs://shop/curated }\n",
     "configuration:1:13: lake.to: 'gs://shop/curated' is a URL; expected a directory or "
     "s3://BUCKET/PREFIX",
     SL_EINVAL},
    {"data_dir: s3://shop/data\n",
     "configuration:1:11: data_dir: 's3://shop/data' is a URL; expected a path",
     SL_EINVAL},
    {"lake: { to: s3://Shop/curated }\n",
     "configuration:1:13: lake.to: 's3://Shop/curated': the name of a bucket is 3 to 63 "
     "of a-z, 0-9, '-' and '.', begins and ends with a letter or digit, and has no '..' "
     "and no form of an IP address",
     SL_EINVAL},
    {"lake: { to: s3://shop/a//b }\n",
     "configuration:1:13: lake.to: 's3://shop/a//b': '//' in the prefix", SL_EINVAL},
    {"streams: { s: { lake: { to: s3://shop/../b } } }\n",
     "configuration:1:29: streams.NAME.lake.to: 's3://shop/../b': '.' or '..' as a part "
     "of the prefix, which clients of S3 resolve",
     SL_EINVAL},
    {"lake: { to: \"s3://shop/a\\tb\" }\n",
     "configuration:1:13: lake.to: 's3://shop/a\tb': a control character in the prefix",
     SL_EINVAL},
    {"streams: { a: { lake: { to: s3://shop/x/ } }, b: { lake: { to: s3://shop/x } } }\n",
     "configuration:1:47: stream b: 's3://shop/x' is that of stream a already",
     SL_EEXIST},
    {"lake: { to: s3://shop }\nstreams: { a: { lake: { to: s3://shop/b } }, b: }\n",
     "configuration:2:46: stream b: 's3://shop/b' is that of stream a already",
     SL_EEXIST},
    {"warehouse: { url: mysql://h }\n",
     "configuration:1:19: warehouse.url: expected sqlite:PATH, such as "
     "sqlite:/data/warehouse.db, postgres://… or redshift://…",
     SL_EINVAL},
    {"warehouse: { url: \"sqlite:\" }\n",
     "configuration:1:19: warehouse.url: expected sqlite:PATH, such as "
     "sqlite:/data/warehouse.db, postgres://… or redshift://…",
     SL_EINVAL},
    {"warehouse: { url: \"sqlite:a\", sqlite: b }\n",
     "configuration:1:19: warehouse.url and warehouse.sqlite name two targets: remove "
     "one",
     SL_EINVAL},
    {"warehouse: { sqlite: a, postgres: { url: postgres://h/d } }\n",
     "configuration:1:42: warehouse.postgres.url and warehouse.sqlite name two targets: "
     "remove one",
     SL_EINVAL},
    {"warehouse: { redshift: { url: redshift://h/d }, postgres: { url: postgres://h/d } "
     "}\n",
     "configuration:1:31: warehouse.redshift.url and warehouse.postgres.url name two "
     "targets: remove one",
     SL_EINVAL},
    {"warehouse: { sqlite: a, redshift: { stage: s3://shop/stage } }\n",
     "configuration:1:37: warehouse.redshift: the warehouse is that of warehouse.sqlite: "
     "remove one",
     SL_EINVAL},
    {"warehouse: { postgres: { ca_file: ca.pem } }\n",
     "configuration:1:26: warehouse.postgres: needs url, such as "
     "postgres://user@host/database",
     SL_EINVAL},
    {"warehouse: { postgres: \"postgres://u:secret@h/d\" }\n",
     "configuration:1:24: warehouse.postgres: expected a map with keys such as url, "
     "password, password_file, ca_file",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"redshift://h/d\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: it begins otherwise",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://u:se/cret@h/d\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: '@', '/', ':' and '?' in user, password and "
     "behind the host are written %40, %2F, %3A and %3F",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://u:se cret@h/d\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: it holds a character that is to be written as "
     "%XX",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://u:100%@h/d\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: '%' without two hexadecimal digits behind it "
     "(as such it is %25)",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://h:99999/d\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: a port is a number up to 65535",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://h/d?sslmode\" } }\n",
     "configuration:1:31: warehouse.postgres.url: expected a URL such as "
     "postgres://user@host:5432/database: what follows '?' is KEY=VALUE, joined by '&'",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://h/d\", password: a, password_file: b } "
     "}\n",
     "configuration:1:77: warehouse.postgres.password_file and "
     "warehouse.postgres.password name two passwords: remove one",
     SL_EINVAL},
    {"warehouse: { postgres: { url: \"postgres://h/d\", password_file: /nowhere } }\n",
     "configuration:1:64: warehouse.postgres.password_file: cannot read '/nowhere': No "
     "such file or directory",
     SL_ENOTFOUND},
    {"warehouse: { redshift: { url: \"redshift://u@h/d\" } }\n",
     "configuration:1:24: warehouse.redshift.stage (SLUICE_WAREHOUSE_REDSHIFT_STAGE): "
     "needed, such as s3://bucket/stage: Redshift loads from S3",
     SL_EINVAL},
    {"warehouse: { url: \"redshift://u@h/d\" }\n",
     "configuration:1:19: warehouse.redshift.stage (SLUICE_WAREHOUSE_REDSHIFT_STAGE): "
     "needed, such as s3://bucket/stage: Redshift loads from S3",
     SL_EINVAL},
    {"warehouse: { redshift: { url: \"redshift:///d\", stage: /stage } }\n",
     "configuration:1:55: warehouse.redshift.stage: '/stage' is no S3 URL; expected "
     "s3://BUCKET/PREFIX",
     SL_EINVAL},
    {"warehouse: { redshift: { url: \"redshift:///d\", stage: s3://shop/stage } }\n",
     "configuration:1:31: warehouse.redshift.url: expected a URL such as "
     "redshift://user@host:5439/database: it has no host",
     SL_EINVAL},
    {REDSHIFT("iam_role: copy"),
     "configuration:3:13: warehouse.redshift.iam_role: expected `default` or the ARN of "
     "a role, such as arn:aws:iam::123456789012:role/copy (several: joined by ',')",
     SL_EINVAL},
    {REDSHIFT("region: eu central"),
     "configuration:3:11: warehouse.redshift.region: expected the name of a region, such "
     "as eu-central-1",
     SL_EINVAL},
    {REDSHIFT("cluster: a, workgroup: b"),
     "configuration:3:12: warehouse.redshift.cluster and warehouse.redshift.workgroup "
     "name two targets: remove one",
     SL_EINVAL},
    {REDSHIFT("cluster: a, password: b"),
     "configuration:3:12: warehouse.redshift.cluster: with it the password comes by IAM: "
     "remove the other one",
     SL_EINVAL},
    {REDSHIFT("workgroup: A_b"),
     "configuration:3:14: warehouse.redshift.workgroup: 'A_b' is no identifier: a-z, 0-9 "
     "and '-'",
     SL_EINVAL},
    {"warehouse: { redshift: { url: \"redshift://h/d\", stage: s3://shop/stage, cluster: "
     "a } }\n",
     "configuration:1:82: warehouse.redshift.cluster: needs the name of a database user "
     "in the URL: redshift://user@host/database",
     SL_EINVAL},
    {REDSHIFT(
         "iam_role: default") "lake: { to: s3://shop/stage/lake }\nstreams: { a: }\n",
     "configuration:2:33: warehouse.redshift.stage: 's3://shop/stage' and the lake of "
     "stream a overlap: the stage needs a place of its own",
     SL_EEXIST},
    {REDSHIFT("iam_role: default") "lake: { to: s3://shop }\n",
     "configuration:2:33: warehouse.redshift.stage: 's3://shop/stage' and lake.to "
     "'s3://shop' overlap: the stage needs a place of its own",
     SL_EEXIST},
    {"warehouse: { redshift: { url: \"redshift://h/d\", stge: s3://shop/stage } }\n",
     "configuration:1:49: unknown key 'stge' (did you mean 'stage'?)", SL_EINVAL},
    /* S3 */
    {"s3: { regoin: eu }\n",
     "configuration:1:7: unknown key 'regoin' (did you mean 'region'?)", SL_EINVAL},
    {"s3: { region: \"eu central\" }\n",
     "configuration:1:15: s3.region: expected the name of a region, such as eu-central-1",
     SL_EINVAL},
    {"s3: { endpoint: \"https://key:secret@h\" }\n",
     "configuration:1:17: s3.endpoint: expected http://HOST:PORT or https://HOST:PORT, "
     "without a path and without credentials",
     SL_EINVAL},
    {"s3: { path_style: yes }\n",
     "configuration:1:19: s3.path_style: 'yes' is not true or false", SL_EINVAL},
    {"s3: { path_style: [true] }\n",
     "configuration:1:19: s3.path_style: expected true or false, not a list", SL_EINVAL},
    {"s3: { sse: kms }\n",
     "configuration:1:12: s3.sse: 'kms' is not one of default, AES256, aws:kms",
     SL_EINVAL},
    {"s3: { kms_key_id: alias/a }\n",
     "configuration:1:19: s3.kms_key_id: needs sse: aws:kms", SL_EINVAL},
    {"s3: { sse: \"aws:kms\", kms_key_id: \"a b\" }\n",
     "configuration:1:35: s3.kms_key_id: expected the ARN, id or alias of a key",
     SL_EINVAL},
    {"s3: { storage_class: STANDART_IA }\n",
     "configuration:1:22: s3.storage_class: 'STANDART_IA' is no storage class (did you "
     "mean 'STANDARD_IA'?)",
     SL_EINVAL},
    {"s3: { storage_class: \"a b\" }\n",
     "configuration:1:22: s3.storage_class: 'a b' is no storage class; they look like "
     "STANDARD_IA",
     SL_EINVAL},
    {"s3: { tags: team }\n",
     "configuration:1:13: s3.tags: expected NAME=VALUE, such as { team: data } or "
     "[team=data]",
     SL_EINVAL},
    {"s3: { tags: { team: [data] } }\n",
     "configuration:1:21: s3.tags: expected a text, such as { team: data } or "
     "[team=data]",
     SL_EINVAL},
    {"s3: { tags: [a=b, a=c] }\n", "configuration:1:19: s3.tags: 'a' is there twice",
     SL_EINVAL},
    {"s3: { tags: [\"aws:a=b\"] }\n",
     "configuration:1:14: s3.tags: 'aws:a' begins with 'aws:', which is AWS's own",
     SL_EINVAL},
    {"s3: { tags: { \"a?\": b } }\n",
     "configuration:1:21: s3.tags: 'a?' isn't a tag: 1 to 128 letters, digits, blanks "
     "and +-=._:/@, its value at most 256",
     SL_EINVAL},
    {"s3: { tags: [a=, b=, c=, d=, e=, f=, g=, h=, i=, j=, k=] }\n",
     "configuration:1:13: s3.tags: more than 10 tags, which is what S3 takes", SL_ELIMIT},
    {"streams: { s: { raw: sure } }\n",
     "configuration:1:22: streams.NAME.raw: 'sure' is not true or false", SL_EINVAL},
    {"streams: { s: { warehouse: { strings: dead_leter } } }\n",
     "configuration:1:39: streams.NAME.warehouse.strings: 'dead_leter' is not one of "
     "truncate, dead_letter (did you mean 'dead_letter'?)",
     SL_EINVAL},
    {"streams: { s: { raw: true, warehouse: {} } }\n",
     "configuration:1:22: stream s: raw needs a lake, whose neighbour it is: add `lake: {}`",
     SL_EINVAL},
    {"streams: { s: }\nwindows:\n  w: { of: s, every: 1m, measures: { n: count() },\n"
     "    warehouse: { strings: dead_letter } }\n",
     "configuration:4:27: window w: strings: a window's row is no event that could become "
     "a dead letter; its texts are cut (truncate)",
     SL_EINVAL},
    /* what later builds know */
    {"sources: { o: { kafka: { brokers: b } } }\n", "configuration:1:17: source o: needs topics (SLUICE_KAFKA_TOPICS)", SL_EINVAL},
    {"lookups: { u: { csv: u.csv, key: id, refresh: 10ms } }\n", "configuration:1:47: lookup u: `refresh` is 1s or more", SL_EINVAL},
    {"lookups: { u: { csv: \"s3://bucket\", key: id } }\n", "configuration:1:22: lookup u: expected s3://BUCKET/KEY", SL_EINVAL},
    {"lookups: { u: { sqlite: u.db, key: id } }\n", "configuration:1:12: lookup u: needs one of `table` and `query`", SL_EINVAL},
    {"lookups: { u: { postgres: \"http://x\", table: u, key: id } }\n", "configuration:1:27: lookups.u: expected a URL such as postgres://user@host:5432/database: it begins otherwise", SL_EINVAL},
    {"lookups: { u: {} }\n",
     "configuration:1:12: lookup u: needs `key`, and one of `csv`, `ndjson`, `sqlite` and `postgres`",
     SL_EINVAL},
    {"streams: { s: { dedupe: 1h } }\n",
     "configuration:1:17: stream s: dedupe needs `id`, which tells events apart: a field or an expression",
     SL_EINVAL},
    {"streams: { s: { when: 'a == 1' } }\n",
     "configuration:1:23: stream s: `when` needs a schema: the types of an inferred one aren't known beforehand. One with the "
     "members that are asked for is enough: others go to _rest",
     SL_EINVAL},
    {STREAM("    when: 'usr == \"a\"'\n"),
     "configuration:4:11: stream s: when: column 1: there is no `usr`; did you mean `user`?\n  usr == \"a\"\n  ^",
     SL_ENOTFOUND},
    {STREAM("    when: 'user + \"a\"'\n"), "configuration:4:11: stream s: when: expected a condition, this is of type string",
     SL_ETYPE},
    {STREAM("    id: usr\n"), "configuration:4:9: id: the schema of stream s has no field 'usr' (did you mean 'user'?)", SL_ENOTFOUND},
    {STREAM("    id: 'usr + \"/\"'\n"),
     "configuration:4:9: stream s: id: column 1: there is no `usr`; did you mean `user`?\n  usr + \"/\"\n  ^", SL_ENOTFOUND},
    {STREAM("    id: '\"a\" + \"b\"'\n    dedupe: 1h\n"), "configuration:4:9: stream s: id: the same for every event", SL_EINVAL},
    {STREAM("    id: 'user + o.c'\n    dedupe: 1h\n    warehouse: { table: ts }\n"),
     "configuration:4:9: stream s: id: rows of table 'ts' can't be told apart by an expression: make a field of it by a step "
     "(set: { event_key: … }), and name that",
     SL_EINVAL},
    {"streams: { s: { id: 'a + b' } }\n",
     "configuration:1:21: stream s: id: an expression needs a schema: the types of an inferred one aren't known beforehand. One with "
     "the members that are asked for is enough: others go to _rest",
     SL_EINVAL},
    {STREAM("    when: 'has(_rest)'\n"),
     "configuration:4:11: stream s: when: _rest isn't there yet when it is asked: name the member in the schema", SL_EINVAL},
    {"streams: { s: { steps: [ { sett: { a: b } } ] } }\n",
     "configuration:1:24: stream s: steps need a schema: the types of an inferred one "
     "aren't known beforehand. One with the members that are asked for is enough: others go to _rest\n"
     "configuration:1:28: stream s: no step is called 'sett' (did you mean 'set'?)",
     SL_EINVAL},
    {"sources: { o: { kafk: 1 } }\n",
     "configuration:1:17: unknown key 'kafk' (did you mean 'kafka'?)", SL_EINVAL},
    /* streams */
    {"streams: { \"a b\": {} }\n",
     "configuration:1:12: stream 'a b': a name is letters, digits, '_', '-' and '.', "
     "begins with a "
     "letter, a digit or '_', and has at most 128 characters",
     SL_EINVAL},
    {"streams: { ../x: {} }\n",
     "configuration:1:12: stream '../x': a name is letters, digits, '_', '-' and '.', "
     "begins with a "
     "letter, a digit or '_', and has at most 128 characters",
     SL_EINVAL},
    {"streams: { s: { from: [htpt] } }\n",
     "configuration:1:23: from: no source 'htpt' (did you mean 'http'?)", SL_ENOTFOUND},
    {"streams: { s: { from: [http, kinesis_x] } }\n",
     "configuration:1:23: from: no source 'kinesis_x' (there are: http)", SL_ENOTFOUND},
    {"streams: { s: { schema: nowhere.json } }\n",
     "configuration:1:25: schema: cannot read 'nowhere.json': No such file or directory",
     SL_ENOTFOUND},
    {"streams: { s: { schema: [a] } }\n",
     "configuration:1:25: stream s: schema: expected a path or a map, not a list",
     SL_EINVAL},
    {"streams: { s: { schema: { type: object, properties: { a: { type: integer, minimun: "
     "0 } } } } }\n",
     "configuration:1:25: stream s: schema: /properties/a/minimun: this keyword is not "
     "supported",
     SL_EUNSUPPORTED},
    {STREAM("    event_time: time\n"),
     "configuration:4:17: event_time: the schema of stream s has no field 'time'",
     SL_ENOTFOUND},
    {STREAM("    event_time: usr\n"),
     "configuration:4:17: event_time: the schema of stream s has no field 'usr' (did you "
     "mean "
     "'user'?)",
     SL_ENOTFOUND},
    {STREAM("    event_time: user\n"),
     "configuration:4:17: event_time: 'user' is of type string; expected a string with "
     "format "
     "date-time",
     SL_ETYPE},
    {STREAM("    lake: { partition_by: [o] }\n"),
     "configuration:4:27: partition_by: 'o' is of type group; a directory needs a single "
     "value",
     SL_ETYPE},
    {STREAM("    lake: { partition_by: [l, date] }\n"),
     "configuration:4:27: partition_by: 'l' is of type json; a directory needs a single "
     "value",
     SL_ETYPE},
    {STREAM("    lake: { partition_by: [o.d] }\n"),
     "configuration:4:27: partition_by: the schema of stream s has no field 'o.d' (did "
     "you mean "
     "'o.c'?)",
     SL_ENOTFOUND},
    {STREAM("    lake: { partition_by: [date, date] }\n"),
     "configuration:4:34: streams.NAME.lake.partition_by: 'date' is there twice",
     SL_EINVAL},
    {STREAM("    late_limit: 1h\n"),
     "configuration:4:17: stream s: late_limit needs event_time: by arrival nothing is "
     "late",
     SL_EINVAL},
    {STREAM("    add: [processed]\n"),
     "configuration:4:11: streams.NAME.add: 'processed' is not one of processed_at, "
     "source "
     "(did you mean 'processed_at'?)",
     SL_EINVAL},
    {"streams: { s: { add: [source], schema: { type: object, properties: { source: { "
     "type: string } "
     "} } } }\n",
     "configuration:1:22: stream s: the schema has a member 'source' already; `add` "
     "can't add it",
     SL_EINVAL},
    /* windows */
    {"windows: { w: { of: s, every: 1m, measures: { n: count() } } }\n",
     "configuration:1:21: window w: of: no stream 's' (no stream is configured)",
     SL_ENOTFOUND},
    {"streams: { clicks: {} }\nwindows: { w: { of: click, every: 1m, measures: { n: "
     "count() } } }\n",
     "configuration:2:21: window w: of: no stream 'click' (did you mean 'clicks'?)",
     SL_ENOTFOUND},
    {"streams: { s: {} }\nwindows:\n  w: { of: s }\n",
     "configuration:3:3: window w: needs `every`, such as 1m\n"
     "configuration:3:3: window w: needs measures, such as { events: count() }",
     SL_EINVAL},
    {"streams: { s: {} }\nwindows: { w: { of: s, every: 1m, measures: { n: [a] } } }\n",
     "configuration:2:50: window w: measure n: expected a text such as sum(amount)",
     SL_EINVAL},
    {"streams: { s: {} }\nwindows: { w: { of: s, every: 1m, measures: { a-b: count() } } "
     "}\n",
     "configuration:2:47: window w: measure 'a-b': a name is letters, digits and '_'",
     SL_EINVAL},
    {"streams: { s: {} }\nwindows: { w-x: { of: s, every: 1m, measures: { n: count() } } "
     "}\n",
     "configuration:2:12: window 'w-x': a name is letters, digits and '_', begins with a "
     "letter or "
     "'_', and has at most 63 characters",
     SL_EINVAL},
    {"timezone: Europe/Berlin\nstreams: { s: {} }\n"
     "windows: { w: { of: s, every: 1d, measures: { n: count() } } }\n",
     "configuration:3:31: window w: every: this build can't align windows of 1d in "
     "Europe/Berlin, "
     "which has daylight saving time; use timezone: UTC or windows that divide an hour",
     SL_EUNSUPPORTED},
    {STREAM(
         "    warehouse: {}\n") "  r: { warehouse: {}, schema: { type: object, "
                                "properties: { a_b: { type: string }, a: { type: "
                                "object, properties: { B: { type: string } } } } } }\n",
     "configuration:5:31: stream r: two columns of its table have the name 'a_B'",
     SL_EEXIST},
    {"streams: { s: { warehouse: {}, schema: { type: object, properties: { _hash: { "
     "type: string } } "
     "} } }\n",
     "configuration:1:40: stream s: the column name '_hash' is taken by the warehouse's "
     "own",
     SL_EINVAL},
    {"streams: { s: {} }\nwindows: { w: { of: s, every: 1m, by: [a.b, a_b], measures: { "
     "window_start: count() } } }\n",
     "configuration:2:39: window w: two columns of its table have the name 'a_b'\n"
     "configuration:2:61: window w: the column name 'window_start' is taken by the "
     "warehouse's own",
     SL_EEXIST},
    {"streams: { s: {} }\nwindows: { w: { of: s, every: 1m, measures: { N: count(), n: "
     "count() } } "
     "}\n",
     "configuration:2:45: window w: two columns of its table have the name 'n'",
     SL_EEXIST},
    {"streams: { s: {} }\nwindows: { w: { of: s, every: 1m, measures: { u: count(), "
     "u__state: "
     "count() } } }\n",
     "configuration:2:45: window w: the column name 'u__state' is taken by the "
     "warehouse's own",
     SL_EINVAL},
    /* tables */
    {"streams: { a: { warehouse: { table: T } }, b: { warehouse: { table: t } } }\n",
     "configuration:1:44: stream b: table 't' is that of stream a already", SL_EEXIST},
    {"streams: { a: { warehouse: {} } }\n"
     "windows: { w: { of: a, every: 1m, measures: { n: count() }, warehouse: { table: a "
     "} } }\n",
     "configuration:2:12: window w: table 'a' is that of stream a already", SL_EEXIST},
    {"streams: { a: { lake: { to: /x/ } }, b: { lake: { to: /x } } }\n",
     "configuration:1:38: stream b: the directory '/x' is that of stream a already",
     SL_EEXIST},
    {"streams: { a: { warehouse: { table: a.b } } }\n",
     "configuration:1:37: stream a: table 'a.b': a name is letters, digits and '_', "
     "begins with a "
     "letter or '_', and has at most 63 characters",
     SL_EINVAL},
    {"streams: { a: { warehouse: { table: sluice_ledger_a } } }\n",
     "configuration:1:37: stream a: table 'sluice_ledger_a': names that begin with "
     "'sluice_' and "
     "'sqlite_' are taken",
     SL_EINVAL},
    {REDSHIFT("") "streams: { a: { warehouse: { table: a.b.c } } }\n",
     "configuration:4:37: stream a: table 'a.b.c': a name is letters, digits and '_', "
     "begins with a letter or '_', and has at most 63 characters; one '.' may stand "
     "behind that of a schema",
     SL_EINVAL},
    {REDSHIFT("") "streams: { a: { warehouse: { table: b.T } }, b: { warehouse: { table: "
                  "B.t } } }\n",
     "configuration:4:46: stream b: table 'B.t' is that of stream a already", SL_EEXIST},
    {POSTGRES "streams: { a: { warehouse: { table: public.t } }, b: { warehouse: { "
              "table: t } } }\n",
     "configuration:2:51: stream b: table 't' is that of stream a already", SL_EEXIST},
    {POSTGRES "streams: { a: { warehouse: { table: b.sluice_x } } }\n",
     "configuration:2:37: stream a: table 'b.sluice_x': names that begin with 'sluice_' "
     "and 'sqlite_' are taken",
     SL_EINVAL},
    {REDSHIFT("") "streams: { s: { warehouse: , schema: { type: object, properties: { A: "
                  "{ type: string }, a: { type: string } } } } }\n",
     "configuration:4:38: stream s: two columns of its table have the name 'a'",
     SL_EEXIST},
    {POSTGRES
     "streams: { s: { warehouse: , schema: { type: object, properties: { a_b: { type: "
     "string }, a: { type: object, properties: { b: { type: string } } } } } } }\n",
     "configuration:2:38: stream s: two columns of its table have the name 'a_b'",
     SL_EEXIST},
};

static void every_mistake_has_its_message_and_place(void **state) {
    (void)state;
    unsigned bad = 0;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        sl_config *config = load(broken[i].text);
        bool same = !config && !strcmp(wrong.text, broken[i].message) &&
                    wrong.status == broken[i].status;
        if (!same) {
            bad++;
            print_error("text: %s\n wanted: (%s) %s\n    got: (%s) %s\n", broken[i].text,
                        sl_status_name(broken[i].status), broken[i].message,
                        sl_status_name(wrong.status), config ? "loaded" : wrong.text);
        }
        sl_config_destroy(config);
    }
    assert_int_equal(bad, 0);
}

static void problems_are_listed_in_the_order_of_the_file(void **state) {
    (void)state;
    /* Streams are read before windows and after the fixed sections, wherever they stand.
     */
    assert_null(
        load("windows: { w: { evry: 1m } }\nstreams: { s: { fro: http } }\nmemory: x\n"));
    assert_string_equal(
        wrong.text,
        "configuration:1:17: unknown key 'evry' (did you mean 'every'?)\n"
        "configuration:2:17: unknown key 'fro' (did you mean 'from'?)\n"
        "configuration:3:9: memory: 'x' is not a size such as 512MiB, 10GB or 4096");
}

static void many_problems_are_listed_in_order_as_far_as_they_fit(void **state) {
    (void)state;
    assert_null(
        load("z12345: 1\ny12345: 1\nx12345: 1\nw12345: 1\nv12345: 1\nu12345: 1\n"
             "t12345: 1\ns12345: 1\nr12345: 1\nq12345: 1\np12345: 1\no12345: 1\n"));
    assert_ptr_equal(strstr(wrong.text, "configuration:1:1: unknown key 'z12345'"),
                     wrong.text);
    assert_non_null(strstr(wrong.text, " more)"));
}

static void the_nearest_name_is_near(void **state) {
    (void)state;
    static const char *const names[] = {"streams", "windows", "warehouse", "http"};
    assert_string_equal(sl_config_nearest("stream", names, 4), "streams");
    assert_string_equal(sl_config_nearest("Windows", names, 4), "windows");
    assert_string_equal(sl_config_nearest("wnidows", names, 4), "windows");
    assert_string_equal(sl_config_nearest("htp", names, 4), "http");
    assert_string_equal(sl_config_nearest("wearhouse", names, 4), "warehouse");
    assert_null(sl_config_nearest("lookups", names, 4));
    assert_null(sl_config_nearest("", names, 4));
    assert_null(sl_config_nearest("x", NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_has_its_message_and_place),
        cmocka_unit_test(problems_are_listed_in_the_order_of_the_file),
        cmocka_unit_test(many_problems_are_listed_in_order_as_far_as_they_fit),
        cmocka_unit_test(the_nearest_name_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
