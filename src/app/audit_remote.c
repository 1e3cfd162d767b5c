#include "sluice/audit_remote.h"

#include "redshift_iam.h"

#include "sluice/postgres_target.h"
#include "sluice/topic.h"

#include <string.h>
#include <time.h>

static sl_status need_objects(sl_audit_remote *r, sl_error *error) {
    if (r->objects != NULL)
        return SL_OK;
    const sl_config *c = r->config;
    const sl_object_store_options store = {.files = r->files,
                                           .clock = sl_clock_system(),
                                           .endpoint = c->s3.endpoint,
                                           .region = c->s3.region,
                                           .path_style = c->s3.path_style};
    const sl_aws_credentials_options keys = {.region = c->s3.region};
    return sl_object_reader_create(&store, c->s3.ca_file, &keys, &r->objects, error);
}

/* Bucket and key of a URL; the key keeps what slashes it has. */
static sl_status parse(sl_audit_remote *r, const char *url, char bucket[64], const char **key, sl_error *error) {
    size_t length;
    sl_status status = need_objects(r, error);
    return status == SL_OK ? sl_object_url_parse(url, bucket, key, &length, error) : status;
}

sl_status sl_audit_remote_object(sl_audit_remote *r, const char *url, const sl_entry_file *file, sl_error *error) {
    char bucket[64];
    const char *key;
    sl_status status = parse(r, url, bucket, &key, error);
    return status == SL_OK
               ? sl_object_reader_verify(r->objects, bucket, key, file->bytes, file->hash, r->whole, error)
               : status;
}

typedef struct listing {
    const char *bucket;
    sl_audit_object_fn *each;
    void *context;
    sl_status status;
} listing;

static bool list_one(void *context, const sl_object_info *info) {
    listing *l = context;
    sl_buffer url = SL_BUFFER_EMPTY;
    sl_buffer_printf(&url, "s3://%s/%s", l->bucket, info->key);
    const char *text = sl_buffer_cstr(&url);
    l->status = url.failed ? SL_ENOMEM : l->each(l->context, text, info->bytes);
    sl_buffer_fini(&url);
    return l->status == SL_OK;
}

sl_status sl_audit_remote_list(sl_audit_remote *r, const char *url, sl_audit_object_fn *each, void *context,
                               sl_error *error) {
    char bucket[64];
    const char *prefix;
    sl_status status = parse(r, url, bucket, &prefix, error);
    if (status != SL_OK)
        return status;
    listing l = {.bucket = bucket, .each = each, .context = context};
    sl_buffer below = SL_BUFFER_EMPTY; /* Not what another table has beside it: "clicks" begins "clicks2", too. */
    sl_buffer_printf(&below, "%s/", prefix);
    const char *text = sl_buffer_cstr(&below);
    status = below.failed ? sl_error_set(error, SL_ENOMEM, "out of memory")
                          : sl_object_reader_list(r->objects, bucket, text, list_one, &l, error);
    sl_buffer_fini(&below);
    return status == SL_OK ? l.status : status;
}

sl_status sl_audit_remote_tail(sl_audit_remote *r, const char *url, uint64_t bytes, uint64_t length, sl_buffer *out,
                               sl_error *error) {
    char bucket[64];
    const char *key;
    sl_status status = parse(r, url, bucket, &key, error);
    uint64_t some = bytes < length ? bytes : length;
    return status == SL_OK ? sl_object_reader_get(r->objects, bucket, key, bytes - some, some, out, error) : status;
}

/* Anew for every table: IAM's passwords last for minutes. */
static sl_status redshift_table(const sl_config *c, const char *table, const char *partition, bool window,
                                uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    sl_buffer user = SL_BUFFER_EMPTY, password = SL_BUFFER_EMPTY;
    sl_status status = sl_redshift_login_wait(c, &user, &password, error);
    const sl_postgres_options server = {
        .url = c->warehouse.redshift.url,
        .user = user.length != 0 ? sl_buffer_cstr(&user) : NULL,
        .password = password.length != 0 ? sl_buffer_cstr(&password) : c->warehouse.redshift.password,
        .ca_file = c->warehouse.redshift.ca_file};
    if (status == SL_OK)
        status = sl_postgres_audit(&server, SL_DIALECT_REDSHIFT, table, NULL, partition, window, from, to, out, error);
    sl_buffer_fini(&user);
    sl_buffer_fini(&password);
    return status;
}

sl_status sl_audit_remote_table(sl_audit_remote *r, const char *table, const char *partition, bool window,
                                uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    const sl_config *c = r->config;
    if (c->warehouse.store == SL_STORE_REDSHIFT)
        return redshift_table(c, table, partition, window, from, to, out, error);
    const sl_postgres_options server = {.url = c->warehouse.postgres.url,
                                        .password = c->warehouse.postgres.password,
                                        .ca_file = c->warehouse.postgres.ca_file};
    return sl_postgres_audit(&server, SL_DIALECT_POSTGRES, table, NULL, partition, window, from, to, out, error);
}

sl_status sl_audit_remote_marker(sl_audit_remote *r, const char *topic, const char *table, const char *partition, int64_t *position,
                                 sl_error *error) {
    if (r->config->kafka.options.brokers == NULL)
        return sl_error_set(error, SL_EINVAL, "the configuration has no brokers: kafka: { brokers: … }");
    sl_buffer group = SL_BUFFER_EMPTY;
    sl_kafka_reader *reader = NULL;
    sl_kafka_offset marker = {topic, 0, -1, NULL};
    sl_topic_group(partition, table, &group);
    const char *text = sl_buffer_cstr(&group);
    sl_status status = group.failed ? sl_error_set(error, SL_ENOMEM, "out of memory")
                                    : sl_kafka_reader_create(&r->config->kafka.options, &reader, error);
    if (status == SL_OK)
        status = sl_kafka_reader_committed(reader, text, &marker, 1, error);
    *position = marker.offset;
    sl_kafka_reader_destroy(reader);
    sl_buffer_fini(&group);
    return status;
}

void sl_audit_remote_fini(sl_audit_remote *r) {
    sl_object_reader_destroy(r->objects);
    r->objects = NULL;
}
