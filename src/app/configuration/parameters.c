#include "parameters.h"

#include <assert.h>
#include <stdio.h>

#define ROOT(member) SL_SCOPE_ROOT, offsetof(sl_config, member)
#define STREAM(member) SL_SCOPE_STREAM, offsetof(sl_config_stream, member)
#define WINDOW(member) SL_SCOPE_WINDOW, offsetof(sl_config_window, member)
#define SOURCE(member) SL_SCOPE_FILE, offsetof(sl_config_file, member)
#define KAFKA(member) SL_SCOPE_KAFKA, offsetof(sl_config_kafka, member)
#define LOOKUP(member) SL_SCOPE_LOOKUP, offsetof(sl_config_lookup, member)
#define KIB(n) (UINT64_C(n) << 10)
#define MIB(n) (UINT64_C(n) << 20)
#define GIB(n) (UINT64_C(n) << 30)
#define MS(n) ((uint64_t)(n)*1000)
#define SECONDS(n) MS((n)*UINT64_C(1000))
#define DAYS(n) SECONDS((n)*UINT64_C(86400))

static_assert(offsetof(sl_config_stream, source) ==
                  offsetof(sl_config_stream, processed_at) + sizeof(bool),
              "flags are stored one after another");
static_assert(sizeof(sl_parquet_profile) == sizeof(int), "choices are stored as int");
static_assert(sizeof(sl_parquet_codec) == sizeof(int), "choices are stored as int");
static_assert(sizeof(sl_source_format) == sizeof(int), "choices are stored as int");
static_assert(sizeof(sl_format_kind) == sizeof(int), "choices are stored as int");
static_assert(sizeof(sl_config_strings) == sizeof(int), "choices are stored as int");

/* What the streams' own lake says, and the root's for those that say nothing, differ in
 * scope only. */
#define PROFILE_TEXT                                                                     \
    "How Parquet is written. `lake`: zstd and delta encoding. `compatible`: snappy and " \
    "plain "                                                                             \
    "encodings, which every reader takes."
#define CODEC_TEXT                                                                       \
    "Compression of Parquet pages. `default` is zstd in the profile `lake`, snappy in "  \
    "`compatible`."
#define PARTITION_TEXT                                                                   \
    "Directories by value, in Hive's way (`country=US/date=2026-01-01`): field paths, "  \
    "and "                                                                               \
    "`date` and `hour` of the event time in `timezone`."
#define MAX_AGE_TEXT "A file is closed when its first row is this old."
#define TARGET_SIZE_TEXT "A file is closed when it has about this size."

#define URL_TEXT                                                                         \
    "In user and password, characters such as `@`, `:` and `/` are written `%40`, "      \
    "`%3A`, "                                                                            \
    "`%2F`; shown with `***` for the password. TLS as `sslmode` says, which is "         \
    "`verify-full` beyond loopback unless said otherwise."
#define PASSWORD_TEXT "Goes before that of the URL."
#define PASSWORD_FILE_TEXT "File with the password, on one line."
#define CA_TEXT "Certificates, PEM, that the server's is checked by."
#define CREATE_TEXT                                                                      \
    "`false`: the table has to be there, with all columns, and `sluice_ledger_TABLE` "   \
    "beside it (`sluice ddl` prints both), instead of being made and given new columns " \
    "by sluice. PostgreSQL and Redshift."
#define STRINGS_TEXT                                                                     \
    "What is done with texts that a column is too short for: cut them at a character, "  \
    "or put the row into `sluice_dead_TABLE` instead. PostgreSQL and Redshift."
/* A Kafka source's connection and the section `kafka` have the same keys. */
#define SASL_TEXT "How the user logs in. Kafka 4 refuses SCRAM of a librdkafka before 2.6.1, Debian 12's among them."
#define TLS_TEXT "`true`: by TLS, and the brokers' certificates are checked by the system's. Otherwise a section with the keys below."
#define TLS_CA_TEXT "Certificates, PEM, that the brokers' are checked by."
#define TLS_CERT_TEXT "Certificate that sluice shows to the brokers (mutual TLS), PEM. With `key`."
#define TLS_KEY_TEXT "Password that the private key is encrypted with."
#define PROPERTIES_TEXT "Further properties of librdkafka, such as `{ session.timeout.ms: 30000 }`, but those that have a key here and those that sluice " \
    "sets itself."
#define BROKERS_TEXT "Brokers that are asked first, HOST:PORT (9092 by default); the others are learnt from them."
#define SSE_TEXT                                                                         \
    "Encryption at rest. `default`: as the bucket says. `AES256`: SSE-S3. `aws:kms`: "   \
    "SSE-KMS."

const sl_parameter sl_parameters[] = {
    {"data_dir", SL_PARAMETER_PATH, ROOT(data_dir), 0, "./sluice-data", NULL, 0, 0, NULL,
     "Journal, ledger, spool and, unless said otherwise, what goes out. One daemon per "
     "directory."},
    {"timezone", SL_PARAMETER_TEXT, ROOT(timezone), 0, "UTC", NULL, 0, 0, NULL,
     "IANA name of the time zone of `date` and `hour` partitions and of windows of hours "
     "and "
     "days."},
    {"memory", SL_PARAMETER_SIZE, ROOT(memory), 0, "512MiB", NULL, MIB(64), GIB(1024),
     NULL,
     "The budget that everything is counted in. When it is used up, open files are "
     "closed early "
     "and producers wait."},
    {"workers", SL_PARAMETER_COUNT, ROOT(workers), 0, NULL, "processors - 1, at least 1",
     1, 64, NULL, "Threads that decode, aggregate and encode."},
    {"idle_after", SL_PARAMETER_DURATION, ROOT(idle_after_us), 0, "1m", NULL, SECONDS(1),
     DAYS(7), NULL,
     "Where a stream's log has several partitions, one without events for this long no longer "
     "holds the watermark back. The journal is a single partition: with it this key has no "
     "effect."},
    {"cut.every", SL_PARAMETER_DURATION, ROOT(cut_every_us), 0, "10s", NULL, MS(100),
     DAYS(1), NULL, "How often aggregates and rows are handed over to the warehouse."},

    {"http.listen", SL_PARAMETER_ADDRESS, ROOT(http.listen), 0, "127.0.0.1:8080", NULL, 0,
     0, NULL,
     "Where events are taken in: HOST:PORT. Beyond loopback it needs `http.auth`."},
    {"http.auth", SL_PARAMETER_AUTH, ROOT(http.auth_none), 0, NULL,
     "no tokens; loopback only", 0, 0, NULL,
     "The word `none` lets everybody in who reaches the port. Otherwise a section with "
     "the keys "
     "below."},
    {"http.auth.tokens", SL_PARAMETER_SECRETS, ROOT(http.tokens),
     offsetof(sl_config, http.token_count), NULL, NULL, 0, 0, NULL,
     "Bearer tokens that producers may send (`Authorization: Bearer …`), and access keys of Firehose's HTTP endpoints. In the "
     "variable: "
     "separated by commas."},
    {"http.auth.token", SL_PARAMETER_SECRETS, ROOT(http.tokens),
     offsetof(sl_config, http.token_count), NULL, NULL, 0, 0, NULL, "One more token."},
    {"http.auth.tokens_file", SL_PARAMETER_SECRETS_FILE, ROOT(http.tokens),
     offsetof(sl_config, http.token_count), NULL, NULL, 0, 0, NULL,
     "File with tokens, one on a line; they are added to `tokens`."},
    {"http.auth.token_file", SL_PARAMETER_SECRETS_FILE, ROOT(http.tokens),
     offsetof(sl_config, http.token_count), NULL, NULL, 0, 0, NULL,
     "The same under the name that suits a file with one token."},
    {"http.auth.aws_keys", SL_PARAMETER_AWS_KEYS, ROOT(http.aws_keys),
     offsetof(sl_config, http.aws_key_count), NULL, NULL, 0, 100, NULL,
     "Key pairs that producers of Kinesis and Firehose sign their requests with: a list of `{ access_key_id, "
     "secret_access_key }`, or `secret_access_key_file` in its place. Where `http.auth` has only tokens, those calls are "
     "off; where it has only key pairs, `/v1/events` is. In the variable: ID:SECRET, separated by commas."},
    {"http.tls.cert", SL_PARAMETER_PATH, ROOT(http.tls_cert), 0, NULL, NULL, 0, 0, NULL,
     "Certificate chain, PEM. With `key`: HTTPS."},
    {"http.tls.key", SL_PARAMETER_PATH, ROOT(http.tls_key), 0, NULL, NULL, 0, 0, NULL,
     "Private key, PEM, without a passphrase."},
    {"http.max_body", SL_PARAMETER_SIZE, ROOT(http.max_body), 0, "10MiB", NULL, KIB(1),
     MIB(256), NULL, "Largest request body, also after decompression; beyond it: 413."},
    {"http.max_event", SL_PARAMETER_SIZE, ROOT(http.max_event), 0, "1MiB", NULL, 64,
     MIB(256), NULL, "Largest event; beyond it: the dead letter `too_large`."},
    {"http.max_connections", SL_PARAMETER_COUNT, ROOT(http.max_connections), 0, "4096",
     NULL, 1, 1000000, NULL,
     "Open connections; further ones are told 503 with Retry-After."},
    {"http.header_timeout", SL_PARAMETER_DURATION, ROOT(http.header_timeout_us), 0, "10s",
     NULL, MS(100), DAYS(1), NULL,
     "How long a client may take to send a request's head."},
    {"http.idle_timeout", SL_PARAMETER_DURATION, ROOT(http.idle_timeout_us), 0, "60s",
     NULL, MS(100), DAYS(1), NULL, "How long a kept connection may be silent."},

    {"admin.listen", SL_PARAMETER_ADDRESS, ROOT(admin.listen), 0, NULL,
     "`http.listen` while that is loopback, else 127.0.0.1:8081", 0, 0, NULL,
     "Where metrics, health and the dashboard are."},
    {"admin.tap", SL_PARAMETER_CHOICE, ROOT(admin.tap), 0, "loopback", NULL, 0, 0,
     "loopback|always|never",
     "Whether `/v1/tap` (`sluice tap`) shows events, also as they are before `redact` and `hash`: `loopback` while "
     "`admin.listen` is."},

    {"ingest.log", SL_PARAMETER_TEXT, ROOT(ingest.log), 0, "journal", NULL, 0, 0, NULL,
     "Where requests are made durable before they are answered: the `journal` in `data_dir`, or `kafka://HOST:PORT[,HOST:PORT]/TOPIC`, which all "
     "daemons of the group share. `kafka:///TOPIC`: with the brokers of `kafka`. Login, TLS and properties are those of `kafka`, too."},
    {"ingest.group", SL_PARAMETER_TEXT, ROOT(ingest.group), 0, "sluice", NULL, 0, 0, NULL,
     "Consumer group by which daemons share the partitions of `ingest.log`."},
    {"ingest.read", SL_PARAMETER_BOOL, ROOT(ingest.read), 0, "true", NULL, 0, 0, NULL,
     "`false`: this daemon writes requests to the topic of `ingest.log`, and leaves it to others to read it."},
    {"journal.quota", SL_PARAMETER_SIZE, ROOT(journal.quota), 0, "10GiB", NULL, MIB(4),
     GIB(1048576), NULL,
     "Disk for events that are acknowledged and not yet delivered. When it is used up, "
     "producers "
     "get 503 with Retry-After."},
    {"journal.segment_size", SL_PARAMETER_SIZE, ROOT(journal.segment_size), 0, "64MiB",
     NULL, MIB(1), GIB(1), NULL, "Size of the journal's files; they are recycled."},
    {"journal.durability", SL_PARAMETER_SWITCH, ROOT(journal.fsync), 0, "fsync", NULL, 0,
     0, "os|fsync",
     "`fsync`: an acknowledged event survives a power cut. `os`: it survives a crash of "
     "the "
     "daemon, not of the machine."},
    {"spool.quota", SL_PARAMETER_SIZE, ROOT(spool.quota), 0, "10GiB", NULL, MIB(4),
     GIB(1048576), NULL,
     "Disk for files that are built and not yet delivered: for each destination (all "
     "directories, the warehouse, each bucket), and once more for dead letters and late "
     "events. When it is used up, a destination's tables stay in the journal."},

    {"lake.to", SL_PARAMETER_TARGET, ROOT(lake.to), 0, NULL, "DATA_DIR/lake", 0, 0, NULL,
     "Directory, or `s3://BUCKET/PREFIX`, below which every stream has its own, for "
     "streams that don't name one."},
    {"lake.partition_by", SL_PARAMETER_LIST, ROOT(lake.partition_by),
     offsetof(sl_config, lake.partition_count), NULL, "none", 0, 16, NULL,
     PARTITION_TEXT},
    {"lake.max_age", SL_PARAMETER_DURATION, ROOT(lake.max_age_us), 0, "60s", NULL,
     MS(100), DAYS(1), NULL, MAX_AGE_TEXT},
    {"lake.target_size", SL_PARAMETER_SIZE, ROOT(lake.target_size), 0, "128MiB", NULL,
     KIB(64), GIB(4), NULL, TARGET_SIZE_TEXT},
    {"lake.profile", SL_PARAMETER_CHOICE, ROOT(lake.profile), 0, "lake", NULL, 0, 0,
     "lake|compatible", PROFILE_TEXT},
    {"lake.codec", SL_PARAMETER_CHOICE, ROOT(lake.codec), 0, "default", NULL, 0, 0,
     "default|none|snappy|zstd", CODEC_TEXT},

    {"warehouse.sqlite", SL_PARAMETER_PATH, ROOT(warehouse.sqlite), 0, NULL,
     "DATA_DIR/warehouse.db", 0, 0, NULL,
     "The SQLite database that tables go to. One warehouse a daemon: this, "
     "`warehouse.postgres` or `warehouse.redshift`."},
    {"warehouse.postgres.url", SL_PARAMETER_URL, ROOT(warehouse.postgres.url), 0, NULL,
     NULL, 0, 0, NULL,
     "PostgreSQL as the warehouse: `postgres://USER@HOST:5432/DATABASE`. " URL_TEXT},
    {"warehouse.postgres.password", SL_PARAMETER_SECRET,
     ROOT(warehouse.postgres.password), 0, NULL, NULL, 0, 0, NULL, PASSWORD_TEXT},
    {"warehouse.postgres.password_file", SL_PARAMETER_SECRET_FILE,
     ROOT(warehouse.postgres.password), 0, NULL, NULL, 0, 0, NULL, PASSWORD_FILE_TEXT},
    {"warehouse.postgres.ca_file", SL_PARAMETER_PATH, ROOT(warehouse.postgres.ca_file), 0,
     NULL, "~/.postgresql/root.crt, else the system's", 0, 0, NULL, CA_TEXT},
    {"warehouse.redshift.url", SL_PARAMETER_URL, ROOT(warehouse.redshift.url), 0, NULL,
     NULL, 0, 0, NULL,
     "Redshift as the warehouse: `redshift://USER@HOST:5439/DATABASE`. " URL_TEXT},
    {"warehouse.redshift.password", SL_PARAMETER_SECRET,
     ROOT(warehouse.redshift.password), 0, NULL, NULL, 0, 0, NULL, PASSWORD_TEXT},
    {"warehouse.redshift.password_file", SL_PARAMETER_SECRET_FILE,
     ROOT(warehouse.redshift.password), 0, NULL, NULL, 0, 0, NULL, PASSWORD_FILE_TEXT},
    {"warehouse.redshift.ca_file", SL_PARAMETER_PATH, ROOT(warehouse.redshift.ca_file), 0,
     NULL, "~/.postgresql/root.crt, else the system's", 0, 0, NULL, CA_TEXT},
    {"warehouse.redshift.iam_role", SL_PARAMETER_TEXT, ROOT(warehouse.redshift.iam_role),
     0, NULL, "the keys that S3 is used with", 0, 0, NULL,
     "Role that Redshift reads the stage with: its ARN, several with `,` between them, "
     "or "
     "`default`."},
    {"warehouse.redshift.stage", SL_PARAMETER_S3, ROOT(warehouse.redshift.stage), 0, NULL,
     "needed", 0, 0, NULL,
     "`s3://BUCKET/PREFIX` where rows are put down for Redshift to load; nothing else "
     "may be there."},
    {"warehouse.redshift.region", SL_PARAMETER_TEXT, ROOT(warehouse.redshift.region), 0,
     NULL, "`s3.region`", 0, 0, NULL, "Region of the stage's bucket and of the cluster."},
    {"warehouse.redshift.cluster", SL_PARAMETER_TEXT, ROOT(warehouse.redshift.cluster), 0,
     NULL, NULL, 0, 0, NULL,
     "Cluster identifier: the password comes by IAM (GetClusterCredentials) for the "
     "URL's user."},
    {"warehouse.redshift.workgroup", SL_PARAMETER_TEXT,
     ROOT(warehouse.redshift.workgroup), 0, NULL, NULL, 0, 0, NULL,
     "Serverless workgroup: user and password come by IAM (GetCredentials)."},
    {"warehouse.url", SL_PARAMETER_URL, SL_SCOPE_ROOT, 0, 0, NULL, NULL, 0, 0, NULL,
     "The warehouse as one URL: `sqlite:PATH`, `postgres://…` or `redshift://…`, the "
     "last "
     "with `warehouse.redshift.stage`."},

    {"s3.endpoint", SL_PARAMETER_TEXT, ROOT(s3.endpoint), 0, NULL, "AWS, in the region",
     0, 0, NULL,
     "Another S3 server: `https://HOST:PORT`. Credentials come as for AWS's own tools: "
     "environment, `~/.aws`, web identity, container, instance."},
    {"s3.region", SL_PARAMETER_TEXT, ROOT(s3.region), 0, NULL,
     "what the credentials know", 0, 0, NULL, "Region of the buckets."},
    {"s3.path_style", SL_PARAMETER_BOOL, ROOT(s3.path_style), 0, "false", NULL, 0, 0,
     NULL,
     "`true`: https://HOST/BUCKET/KEY instead of https://BUCKET.HOST/KEY, which servers "
     "of one's own mostly want."},
    {"s3.sse", SL_PARAMETER_CHOICE, ROOT(s3.sse), 0, "default", NULL, 0, 0,
     "default|AES256|aws:kms", SSE_TEXT},
    {"s3.kms_key_id", SL_PARAMETER_TEXT, ROOT(s3.kms_key_id), 0, NULL,
     "the account's own key", 0, 0, NULL,
     "Key for `sse: aws:kms`: its ARN, id or alias."},
    {"s3.storage_class", SL_PARAMETER_TEXT, ROOT(s3.storage_class), 0, NULL,
     "the bucket's", 0, 0, NULL, "Such as `STANDARD_IA` or `INTELLIGENT_TIERING`."},
    {"s3.tags", SL_PARAMETER_TAGS, ROOT(s3.tags), offsetof(sl_config, s3.tag_count), NULL,
     "none", 0, 10, NULL,
     "Tags of every object: `{ team: data }` or `[team=data]`. In the variable: "
     "separated by commas."},
    {"s3.ca_file", SL_PARAMETER_PATH, ROOT(s3.ca_file), 0, NULL, "the system's", 0, 0,
     NULL, CA_TEXT},

    {"kafka.brokers", SL_PARAMETER_LIST, ROOT(kafka.brokers), offsetof(sl_config, kafka.broker_count), NULL, "none", 0, 100, NULL,
     "Brokers for whatever of Kafka names none of its own. A source without `brokers` takes these, and what else of this section it doesn't say itself. "
     BROKERS_TEXT},
    {"kafka.sasl.mechanism", SL_PARAMETER_TEXT, ROOT(kafka.options.mechanism), 0, NULL, "`PLAIN` with a user", 0, 0,
     "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512",
     SASL_TEXT},
    {"kafka.sasl.user", SL_PARAMETER_TEXT, ROOT(kafka.options.user), 0, NULL, NULL, 0, 0, NULL, "User, or API key."},
    {"kafka.sasl.password", SL_PARAMETER_SECRET, ROOT(kafka.options.password), 0, NULL, NULL, 0, 0, NULL,
     "Password, or API secret."},
    {"kafka.sasl.password_file", SL_PARAMETER_SECRET_FILE, ROOT(kafka.options.password), 0, NULL, NULL, 0, 0, NULL,
     PASSWORD_FILE_TEXT},
    {"kafka.tls", SL_PARAMETER_BOOL, ROOT(kafka.tls), 0, NULL, "false", 0, 0, NULL,
     TLS_TEXT},
    {"kafka.tls.ca", SL_PARAMETER_PATH, ROOT(kafka.options.ca_file), 0, NULL, "the system's", 0, 0, NULL,
     TLS_CA_TEXT},
    {"kafka.tls.cert", SL_PARAMETER_PATH, ROOT(kafka.options.cert_file), 0, NULL, NULL, 0, 0, NULL,
     TLS_CERT_TEXT},
    {"kafka.tls.key", SL_PARAMETER_PATH, ROOT(kafka.options.key_file), 0, NULL, NULL, 0, 0, NULL, "Its private key, PEM."},
    {"kafka.tls.key_password", SL_PARAMETER_SECRET, ROOT(kafka.options.key_password), 0, NULL, NULL, 0, 0, NULL,
     TLS_KEY_TEXT},
    {"kafka.tls.key_password_file", SL_PARAMETER_SECRET_FILE, ROOT(kafka.options.key_password), 0, NULL, NULL, 0, 0, NULL,
     PASSWORD_FILE_TEXT},
    {"kafka.properties", SL_PARAMETER_PROPERTIES, ROOT(kafka.options.properties),
     offsetof(sl_config, kafka.options.property_count), NULL, "none", 0, 200, NULL,
     PROPERTIES_TEXT},

    {"log.level", SL_PARAMETER_CHOICE, ROOT(log.level), 0, "info", NULL, 0, 0,
     "error|warn|info|debug", "What the daemon says about itself on stderr."},
    {"log.format", SL_PARAMETER_SWITCH, ROOT(log.json), 0, "text", NULL, 0, 0,
     "text|json", "`text`: key=value. `json`: one object on a line."},
    {"tests", SL_PARAMETER_TESTS, ROOT(tests), offsetof(sl_config, test_count), NULL, "none", 0, 0, NULL,
     "What `sluice test` runs: events, and what is expected of them. See [testing](testing.md)."},
    {"test_environment", SL_PARAMETER_VARIABLES, SL_SCOPE_ROOT, 0, 0, NULL, "none", 0, 0, NULL,
     "Values of environment variables for `sluice test`, which go before those of the environment."},

    {"streams.NAME.from", SL_PARAMETER_LIST, STREAM(from),
     offsetof(sl_config_stream, from_count), NULL, "all sources", 0, 64, NULL,
     "Sources whose records may belong to the stream: `http` (Firehose's deliveries are, too), and names of `sources`."},
    {"streams.NAME.when", SL_PARAMETER_TEXT, STREAM(when), 0, NULL, "takes every event", 0, 0, NULL,
     "Condition on the event as it came, a CEL expression such as `event_type != \"heartbeat\"`; see [schema](schema.md#which-stream). Asked of "
     "events that come without a stream's name in their path: the first stream in the order of the file whose `from` and `when` fit takes "
     "the event."},
    {"streams.NAME.format", SL_PARAMETER_CHOICE, STREAM(format), 0, "json", NULL, 0, 0, "json|csv",
     "What a record is that doesn't say it (`Content-Type`, or a source's `format`): JSON, or lines of CSV."},
    {"streams.NAME.csv.header", SL_PARAMETER_BOOL, STREAM(csv.header), 0, NULL, "`true`, but `false` with `csv.columns`", 0, 0,
     NULL, "Whether the first line of a record of CSV names its columns, where the record doesn't say (`text/csv; header=absent`)."},
    {"streams.NAME.csv.columns", SL_PARAMETER_LIST, STREAM(csv.columns), offsetof(sl_config_stream, csv.column_count), NULL,
     "none", 0, 1024, NULL,
     "Names of the values of CSV without such a line, in order; as in one, `place.city` is a member of the object `place`."},
    {"streams.NAME.csv.delimiter", SL_PARAMETER_TEXT, STREAM(csv.delimiter), 0, ",", NULL, 0, 0, NULL,
     "What stands between values: one character, or the word `tab`."},
    {"streams.NAME.schema", SL_PARAMETER_SCHEMA, STREAM(schema), 0, NULL,
     "inferred from the events", 0, 0, NULL,
     "JSON Schema: a path (relative to the configuration file), or the schema itself as "
     "a map."},
    {"streams.NAME.event_time", SL_PARAMETER_TEXT, STREAM(event_time), 0, NULL, "arrival",
     0, 0, NULL,
     "Field that says when it happened: the path of a string with format date-time."},
    {"streams.NAME.id", SL_PARAMETER_TEXT, STREAM(id), 0, NULL, "none", 0, 0, NULL,
     "What tells events apart, after the steps: a field, or for `dedupe` alone a CEL expression such as `user_id + \"/\" + string(seq)`. "
     "In the warehouse a later event with the same id replaces the earlier one's row; without an id rows are appended."},
    {"streams.NAME.add", SL_PARAMETER_FLAGS, STREAM(processed_at), 0, NULL, "none", 0, 2,
     "processed_at|source",
     "Columns to add: `processed_at`, the arrival time in the log, and `source`, the "
     "source's "
     "name."},
    {"streams.NAME.late_limit", SL_PARAMETER_DURATION, STREAM(late_limit_us), 0, "0s",
     "0s: no limit", 0, DAYS(3650), NULL,
     "Events older than the watermark by more than this go to the late table."},
    {"streams.NAME.dedupe", SL_PARAMETER_DURATION, STREAM(dedupe_us), 0, "0s", "0s: off", 0, DAYS(366), NULL,
     "Of events with the same `id` the first is kept, as far as their event times lie within this horizon; what is older than "
     "the watermark by more than this goes to the late table."},
    {"streams.NAME.steps", SL_PARAMETER_STEPS, STREAM(steps), 0, NULL, "none", 0, 0, NULL,
     "What is done to events between decoding and tables, in this order, as a list of maps with one key each: `require`, "
     "`where`, `set`, `default`, `cast`, `rename`, `drop`, `trim`, `lower`, `redact`, `hash`, `lookup`, `geoip`, `user_agent`. See "
     "[steps](steps.md)."},
    {"streams.NAME.raw", SL_PARAMETER_BOOL, STREAM(raw), 0, "false", NULL, 0, 0, NULL,
     "`true`: every record is kept as it came, too: zstd NDJSON by the hour of its "
     "arrival."},
    {"streams.NAME.lake.to", SL_PARAMETER_TARGET, STREAM(lake.to), 0, NULL,
     "`lake.to`/NAME", 0, 0, NULL,
     "Directory, or `s3://BUCKET/PREFIX`, of the stream's Parquet files."},
    {"streams.NAME.lake.partition_by", SL_PARAMETER_LIST, STREAM(lake.partition_by),
     offsetof(sl_config_stream, lake.partition_count), NULL, "`lake.partition_by`", 0, 16,
     NULL, PARTITION_TEXT},
    {"streams.NAME.lake.max_age", SL_PARAMETER_DURATION, STREAM(lake.max_age_us), 0, NULL,
     "`lake.max_age`", MS(100), DAYS(1), NULL, MAX_AGE_TEXT},
    {"streams.NAME.lake.target_size", SL_PARAMETER_SIZE, STREAM(lake.target_size), 0,
     NULL, "`lake.target_size`", KIB(64), GIB(4), NULL, TARGET_SIZE_TEXT},
    {"streams.NAME.lake.profile", SL_PARAMETER_CHOICE, STREAM(lake.profile), 0, NULL,
     "`lake.profile`", 0, 0, "lake|compatible", PROFILE_TEXT},
    {"streams.NAME.lake.codec", SL_PARAMETER_CHOICE, STREAM(lake.codec), 0, NULL,
     "`lake.codec`", 0, 0, "default|none|snappy|zstd", CODEC_TEXT},
    {"streams.NAME.warehouse.table", SL_PARAMETER_TEXT, STREAM(warehouse.name), 0, NULL,
     "NAME, where the section is there", 0, 0, NULL,
     "Table of the stream's rows; in PostgreSQL and Redshift also SCHEMA.TABLE. Without "
     "the section `warehouse` they don't go there."},
    {"streams.NAME.warehouse.create", SL_PARAMETER_BOOL, STREAM(warehouse.create), 0,
     "true", NULL, 0, 0, NULL, CREATE_TEXT},
    {"streams.NAME.warehouse.strings", SL_PARAMETER_CHOICE, STREAM(warehouse.strings), 0,
     "truncate", NULL, 0, 0, "truncate|dead_letter", STRINGS_TEXT},
    {"streams.NAME.topic.to", SL_PARAMETER_TEXT, STREAM(topic.to), 0, NULL, "needed, where the section is there", 0, 0, NULL,
     "Topic that the stream's events are written to, at the brokers of `kafka`: each as one message of JSON, exactly once for consumers that "
     "read committed messages. It has to be there."},
    {"streams.NAME.topic.key", SL_PARAMETER_TEXT, STREAM(topic.key), 0, NULL, "messages have no key", 0, 0, NULL,
     "Field whose text is the message's key: it decides the partition, as Java's clients do it."},
    {"streams.NAME.topic.max_message", SL_PARAMETER_SIZE, STREAM(topic.max_message), 0, "1MB", NULL, KIB(1), MIB(256), NULL,
     "Largest message, key and value; no more than the topic's `max.message.bytes`. Of a larger event the message says only where it lies."},
    {"streams.NAME.dead_letters.topic", SL_PARAMETER_TEXT, STREAM(dead_letters.to), 0, NULL, "none", 0, 0, NULL,
     "Topic that the stream's dead letters are written to, beside their files: each as one message of JSON. It has to be there."},
    {"streams.NAME.dead_letters.max_message", SL_PARAMETER_SIZE, STREAM(dead_letters.max_message), 0, "1MB", NULL, KIB(1), MIB(256), NULL,
     "As `topic.max_message`."},

    {"sources.NAME.file.path", SL_PARAMETER_PATH, SOURCE(path), 0, NULL, "needed", 0, 0, NULL,
     "Files that are read line by line as they grow: a path, or a pattern such as `/var/log/app/*.ndjson*` (let it match the names that a "
     "rotation gives, too). Compressed ones (`.gz`, `.zst`, `.bz2`, `.xz`, `.lz4`) are passed over. Their lines are the events of the first "
     "stream whose `from` takes NAME and that has no `when`."},
    {"sources.NAME.file.format", SL_PARAMETER_CHOICE, SOURCE(format), 0, "stream", NULL, 0, 0, "stream|json|csv",
     "What lines are: as the stream's `format` says, JSON, or CSV with the stream's `csv`, where each file has its line of names."},
    {"sources.NAME.file.read_from", SL_PARAMETER_SWITCH, SOURCE(from_end), 0, "beginning", NULL, 0, 0, "beginning|end",
     "Where the files begin that are there at the source's first start. Later ones are read from their beginning."},
    {"sources.NAME.file.line_timeout", SL_PARAMETER_DURATION, SOURCE(partial_us), 0, "0s", "0s: never", 0, DAYS(1), NULL,
     "When a last line without its end is taken as it is. It is, anyhow, 5 seconds after its file was renamed to what doesn't match, or removed."},

    {"sources.NAME.kafka.brokers", SL_PARAMETER_LIST, KAFKA(brokers), offsetof(sl_config_kafka, broker_count), NULL, "`kafka.brokers`", 0, 100,
     NULL, BROKERS_TEXT},
    {"sources.NAME.kafka.topics", SL_PARAMETER_LIST, KAFKA(options.topics), offsetof(sl_config_kafka, options.topic_count), NULL,
     "needed", 0, 1000, NULL,
     "Topics that are read: names, and regular expressions that begin with `^` and are compared with the names that there are, now and "
     "later. Each message is an event of the first stream whose `from` takes NAME and that has no `when`."},
    {"sources.NAME.kafka.group", SL_PARAMETER_TEXT, KAFKA(options.group), 0, "sluice", NULL, 0, 0, NULL,
     "Consumer group. Daemons with the same group share the topics' partitions."},
    {"sources.NAME.kafka.start", SL_PARAMETER_SWITCH, KAFKA(latest), 0, "earliest", NULL, 0, 0, "earliest|latest",
     "Where a partition begins that has no position yet: with the first message that it holds, or with the next that comes."},
    {"sources.NAME.kafka.metadata", SL_PARAMETER_TEXT, KAFKA(metadata), 0, NULL, "none", 0, 0, NULL,
     "Name of a member that each event is given: `{topic, partition, offset, timestamp, key, headers}` of its message."},
    {"sources.NAME.kafka.sasl.mechanism", SL_PARAMETER_TEXT, KAFKA(options.mechanism), 0, NULL, "`PLAIN` with a user", 0, 0,
     "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512",
     SASL_TEXT},
    {"sources.NAME.kafka.sasl.user", SL_PARAMETER_TEXT, KAFKA(options.user), 0, NULL, NULL, 0, 0, NULL, "User, or API key."},
    {"sources.NAME.kafka.sasl.password", SL_PARAMETER_SECRET, KAFKA(options.password), 0, NULL, NULL, 0, 0, NULL,
     "Password, or API secret."},
    {"sources.NAME.kafka.sasl.password_file", SL_PARAMETER_SECRET_FILE, KAFKA(options.password), 0, NULL, NULL, 0, 0, NULL,
     PASSWORD_FILE_TEXT},
    {"sources.NAME.kafka.tls", SL_PARAMETER_BOOL, KAFKA(tls), 0, NULL, "false", 0, 0, NULL,
     TLS_TEXT},
    {"sources.NAME.kafka.tls.ca", SL_PARAMETER_PATH, KAFKA(options.ca_file), 0, NULL, "the system's", 0, 0, NULL,
     TLS_CA_TEXT},
    {"sources.NAME.kafka.tls.cert", SL_PARAMETER_PATH, KAFKA(options.cert_file), 0, NULL, NULL, 0, 0, NULL,
     TLS_CERT_TEXT},
    {"sources.NAME.kafka.tls.key", SL_PARAMETER_PATH, KAFKA(options.key_file), 0, NULL, NULL, 0, 0, NULL, "Its private key, PEM."},
    {"sources.NAME.kafka.tls.key_password", SL_PARAMETER_SECRET, KAFKA(options.key_password), 0, NULL, NULL, 0, 0, NULL,
     TLS_KEY_TEXT},
    {"sources.NAME.kafka.tls.key_password_file", SL_PARAMETER_SECRET_FILE, KAFKA(options.key_password), 0, NULL, NULL, 0, 0, NULL,
     PASSWORD_FILE_TEXT},
    {"sources.NAME.kafka.properties", SL_PARAMETER_PROPERTIES, KAFKA(options.properties),
     offsetof(sl_config_kafka, options.property_count), NULL, "none", 0, 200, NULL,
     PROPERTIES_TEXT},

    {"lookups.NAME.csv", SL_PARAMETER_TARGET, LOOKUP(csv), 0, NULL, "none", 0, 0, NULL,
     "A table that the step `lookup` asks: CSV (RFC 4180), whose first row names the columns; a file or `s3://BUCKET/KEY`. Read at "
     "the start and with each reload; a reload that can't read it leaves the old one in use."},
    {"lookups.NAME.ndjson", SL_PARAMETER_TARGET, LOOKUP(ndjson), 0, NULL, "none", 0, 0, NULL,
     "The same as one JSON object on a line."},
    {"lookups.NAME.sqlite", SL_PARAMETER_PATH, LOOKUP(sqlite), 0, NULL, "none", 0, 0, NULL,
     "The same from a SQLite database: this file's `table` or `query`."},
    {"lookups.NAME.postgres", SL_PARAMETER_URL, LOOKUP(postgres), 0, NULL, NULL, 0, 0, NULL,
     "The same from PostgreSQL: `postgres://USER@HOST:5432/DATABASE`, and `table` or `query`. " URL_TEXT},
    {"lookups.NAME.password", SL_PARAMETER_SECRET, LOOKUP(password), 0, NULL, NULL, 0, 0, NULL, PASSWORD_TEXT},
    {"lookups.NAME.password_file", SL_PARAMETER_SECRET_FILE, LOOKUP(password), 0, NULL, NULL, 0, 0, NULL,
     PASSWORD_FILE_TEXT},
    {"lookups.NAME.ca_file", SL_PARAMETER_PATH, LOOKUP(ca_file), 0, NULL, "~/.postgresql/root.crt, else the system's",
     0, 0, NULL, CA_TEXT},
    {"lookups.NAME.table", SL_PARAMETER_TEXT, LOOKUP(table_name), 0, NULL, "none", 0, 0, NULL,
     "Table or view of the database, as it is spelled there; all its rows are read."},
    {"lookups.NAME.query", SL_PARAMETER_TEXT, LOOKUP(query), 0, NULL, "none", 0, 0, NULL,
     "Instead: one SELECT, whose rows are taken."},
    {"lookups.NAME.key", SL_PARAMETER_TEXT, LOOKUP(key), 0, NULL, "needed", 0, 0, NULL,
     "The column that rows are found by."},
    {"lookups.NAME.refresh", SL_PARAMETER_DURATION, LOOKUP(refresh_us), 0, "0s", "0s: with reloads alone", 0, DAYS(366), NULL,
     "How often the table is read again while the daemon runs, at least 1s apart. What can't be read leaves the old one in use."},

    {"windows.NAME.of", SL_PARAMETER_TEXT, WINDOW(of), 0, NULL, "needed", 0, 0, NULL,
     "The stream that is aggregated."},
    {"windows.NAME.every", SL_PARAMETER_DURATION, WINDOW(definition.width_us), 0, NULL,
     "needed", SECONDS(1), DAYS(366), NULL,
     "Width of the windows; they follow each other without a gap."},
    {"windows.NAME.by", SL_PARAMETER_LIST, WINDOW(definition.by),
     offsetof(sl_config_window, definition.by_count), NULL, "one group", 0, 16, NULL,
     "Field paths: one row per window and combination of their values."},
    {"windows.NAME.lateness", SL_PARAMETER_DURATION, WINDOW(definition.lateness_us), 0,
     "0s", NULL, 0, DAYS(366), NULL,
     "How long a window waits, in event time, before it counts as closed."},
    {"windows.NAME.measures", SL_PARAMETER_MEASURES, WINDOW(definition.measures), 0, NULL,
     "needed", 0, 0, NULL,
     "Column names and what they hold: `count()`, `count(condition)`, `sum(x)`, "
     "`min(x)`, "
     "`max(x)`, `avg(x)`, `unique(x)`, `quantile(x, 0.99)`, and expressions over other "
     "measures."},
    {"windows.NAME.warehouse.table", SL_PARAMETER_TEXT, WINDOW(warehouse.name), 0, NULL,
     "NAME", 0, 0, NULL,
     "Table of the window's rows; in PostgreSQL and Redshift also SCHEMA.TABLE."},
    {"windows.NAME.warehouse.create", SL_PARAMETER_BOOL, WINDOW(warehouse.create), 0,
     "true", NULL, 0, 0, NULL, CREATE_TEXT},
    {"windows.NAME.warehouse.strings", SL_PARAMETER_CHOICE, WINDOW(warehouse.strings), 0,
     "truncate", NULL, 0, 0, "truncate|dead_letter",
     "As for streams, but rows of windows are always cut."},
    {"windows.NAME.topic.to", SL_PARAMETER_TEXT, WINDOW(topic.to), 0, NULL, "needed, where the section is there", 0, 0, NULL,
     "Topic that rows of closed windows are written to, at the brokers of `kafka`: each as one message of JSON, and again with the next "
     "`revision` when a late event changes it. It has to be there."},
    {"windows.NAME.topic.key", SL_PARAMETER_TEXT, WINDOW(topic.key), 0, NULL, "messages have no key", 0, 0, NULL,
     "One of `by`, or `window_start`, whose text is the message's key: it decides the partition."},
    {"windows.NAME.topic.max_message", SL_PARAMETER_SIZE, WINDOW(topic.max_message), 0, "1MB", NULL, KIB(1), MIB(256), NULL,
     "Largest message, key and value; no more than the topic's `max.message.bytes`. Of a larger row the message says only which one it is."},
};
const size_t sl_parameter_count = sizeof sl_parameters / sizeof *sl_parameters;

const sl_later sl_later_keys[] = {
    {"sources.NAME.kinesis", "Kinesis sources", false},
    {"alerts", "alerts", false},
    {"journal.compression", "a compressed journal", true},
};
const size_t sl_later_count = sizeof sl_later_keys / sizeof *sl_later_keys;

const sl_variable sl_variables[] = {
    {"SLUICE_CONFIG_YAML", "The whole configuration as text, where no file is given."},
    {"SLUICE_SCHEMA",
     "Schema of the one stream: a path, or the JSON Schema itself. Without streams in "
     "the file it makes the stream `events`, with the window `events_per_minute` and, "
     "where `SLUICE_WAREHOUSE_URL` (or `SLUICE_WAREHOUSE_POSTGRES_URL`, "
     "`SLUICE_WAREHOUSE_REDSHIFT_URL`) is set, its rows in the table `events`."},
    {"SLUICE_LAKE", "The same as `SLUICE_LAKE_TO`."},
    {"SLUICE_TOKEN", "A bearer token, added to those of the file."},
    {"SLUICE_TOKEN_FILE", "A file with a token, as containers are handed secrets."},
};
const size_t sl_variable_count = sizeof sl_variables / sizeof *sl_variables;

void sl_parameter_variable(const char *path, char *out) {
    const char *source = "sources.NAME.";
    if (!strncmp(path, source, strlen(source)))
        path += strlen(source);
    size_t length = (size_t)snprintf(out, 128, "SLUICE_%s", path);
    assert(length < 128);
    for (size_t i = 7; i < length; i++) {
        if (out[i] == '.')
            out[i] = '_';
        else if (out[i] >= 'a' && out[i] <= 'z')
            out[i] = (char)(out[i] - 'a' + 'A');
    }
}

bool sl_parameter_has_variable(const sl_parameter *parameter) {
    return (parameter->scope == SL_SCOPE_ROOT || parameter->scope == SL_SCOPE_KAFKA) && parameter->type != SL_PARAMETER_TESTS &&
           parameter->type != SL_PARAMETER_VARIABLES;
}

sl_path_match sl_path_compare(const char *pattern, const char *const *keys,
                              uint32_t depth) {
    for (uint32_t i = 0; i < depth; i++) {
        if (!*pattern)
            return SL_PATH_OTHER;
        size_t length = strcspn(pattern, ".");
        bool any = length == 4 && !memcmp(pattern, "NAME", 4);
        if (!any && (strlen(keys[i]) != length || memcmp(pattern, keys[i], length)))
            return SL_PATH_OTHER;
        pattern += length;
        pattern += *pattern == '.';
    }
    return *pattern ? SL_PATH_SECTION : SL_PATH_EXACT;
}

/* ---- values ---- */

static const struct {
    const char *unit;
    uint64_t bytes;
} units[] = {{"TiB", UINT64_C(1) << 40},
             {"GiB", UINT64_C(1) << 30},
             {"MiB", UINT64_C(1) << 20},
             {"KiB", UINT64_C(1) << 10},
             {"TB", UINT64_C(1000000000000)},
             {"GB", UINT64_C(1000000000)},
             {"MB", UINT64_C(1000000)},
             {"kB", 1000},
             {"KB", 1000},
             {"B", 1},
             {"", 1}};

bool sl_size_parse(const char *text, uint64_t *bytes) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (at == text)
        return false;
    at += *at == ' ';
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(at, units[i].unit)) {
            if (value > UINT64_MAX / units[i].bytes)
                return false;
            *bytes = value * units[i].bytes;
            return true;
        }
    return false;
}

void sl_size_format(uint64_t bytes, char *out) {
    size_t i = 0;
    while (i < 4 && (!bytes || bytes % units[i].bytes))
        i++;
    if (i < 4)
        snprintf(out, 32, "%llu%s", (unsigned long long)(bytes / units[i].bytes),
                 units[i].unit);
    else
        snprintf(out, 32, "%llu", (unsigned long long)bytes);
}

void sl_duration_format(int64_t us, char *out) {
    static const struct {
        const char *unit;
        int64_t us;
    } steps[] = {{"d", SL_DAY_US},    {"h", SL_HOUR_US}, {"m", SL_MINUTE_US},
                 {"s", SL_SECOND_US}, {"ms", 1000},      {"us", 1}};
    size_t i = us ? 0 : 3;
    while (us % steps[i].us)
        i++;
    snprintf(out, 32, "%lld%s", (long long)(us / steps[i].us), steps[i].unit);
}

int sl_choice_find(const char *choices, const char *word) {
    char each[32];
    for (unsigned i = 0; sl_choice_word(choices, i, each); i++)
        if (!strcmp(each, word))
            return (int)i;
    return -1;
}

bool sl_choice_word(const char *choices, unsigned index, char *out) {
    for (; index; index--) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    snprintf(out, 32, "%.*s", (int)strcspn(choices, "|"), choices);
    return true;
}
