/* Staged objects: put, listed in a manifest; and those that earlier processes left. */
#include "job.h"

enum { UPLOADS = 4 };

/* --- abandoned objects of earlier processes --- */

static bool sweep_one(void *context, const sl_object_info *info) {
    removal *r = context;
    if (strstr(info->key, r->of->run) == NULL)
        sl_buffer_append(&r->found, info->key, strlen(info->key) + 1);
    return true;
}
static void swept(void *context, sl_status status, const sl_error *error) {
    removal *r = context;
    target *t = r->of;
    (void)error;
    r->operation = NULL;
    for (size_t at = 0; status == SL_OK && !r->found.failed && at < r->found.length;) {
        const char *key = (const char *)r->found.bytes + at;
        target_remove(t, key);
        at += strlen(key) + 1;
    }
    target_removed(r);
}

void job_sweep(job *j) {
    if (j->known->swept)
        return;
    target *t = j->of;
    removal *r = target_removal(t);
    sl_buffer prefix = SL_BUFFER_EMPTY;
    stage_prefix(t->prefix, t->prefix_length, j->delivery->target, j->delivery->partition,
                 &prefix);
    sl_error error;
    const char *text = sl_buffer_cstr(&prefix);
    if (r != NULL) {
        if (!prefix.failed &&
            sl_object_store_list(t->options.store, t->bucket, text, sweep_one, swept, r,
                                 &r->operation, &error) == SL_OK)
            j->known->swept = true;
        else
            target_removed(r);
    }
    sl_buffer_fini(&prefix);
}

/* --- upload --- */

void job_cancel_uploads(job *j) {
    for (uint32_t i = 0; i < j->stage.count; i++)
        if (j->stage.list[i].operation != NULL) {
            sl_object_operation_cancel(j->stage.list[i].operation);
            j->stage.list[i].operation = NULL;
        }
    if (j->manifest_put != NULL)
        sl_object_operation_cancel(j->manifest_put);
    j->manifest_put = NULL;
    j->uploads = 0;
}

static void put_manifest(job *j);

static void uploaded_file(void *context, sl_status status, const sl_error *error) {
    staged_file *f = context;
    job *j = f->owner;
    f->operation = NULL;
    j->uploads--;
    if (status != SL_OK) {
        sl_error own = *error;
        (void)sl_error_context(&own, "stage s3://%s/%s", j->of->bucket, f->key);
        job_fail_here(j,
                      status == SL_ECONFLICT || status == SL_ECORRUPT ? SL_EIO : status,
                      &own, false);
        return;
    }
    sl_metric_add(j->of->staged_bytes, (int64_t)f->bytes);
    stage_unlink(&j->stage, f);
    job_upload(j);
}

static sl_status start_upload(job *j, uint32_t index, sl_error *error) {
    staged_file *f = &j->stage.list[index];
    f->owner = j;
    if (f->key == NULL) {
        sl_buffer key = SL_BUFFER_EMPTY;
        sl_buffer_append(&key, j->key_begin.bytes, j->key_begin.length);
        sl_buffer_printf(&key, "%u.parquet", index);
        f->key = key.failed ? NULL : sl_strdup(sl_buffer_cstr(&key));
        sl_buffer_fini(&key);
        if (f->key == NULL)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    const sl_object_put put = {.bucket = j->of->bucket,
                               .key = f->key,
                               .path = f->path,
                               .length = f->bytes,
                               .hash = &f->hash};
    sl_status status = sl_object_store_put(j->of->options.store, &put, uploaded_file, f,
                                           &f->operation, error);
    j->uploads += status == SL_OK;
    return status;
}

void job_upload(job *j) {
    sl_error error;
    bool left = false;
    for (uint32_t i = 0; i < j->stage.count; i++) {
        const staged_file *f = &j->stage.list[i];
        if (f->path == NULL || f->operation != NULL)
            continue;
        left = true;
        if (j->uploads == UPLOADS)
            break;
        sl_status status = start_upload(j, i, &error);
        if (status != SL_OK) {
            job_fail_here(j, status, &error, false);
            return;
        }
    }
    if (!left && j->uploads == 0)
        put_manifest(j);
}

static void put_manifest_done(void *context, sl_status status, const sl_error *error) {
    job *j = context;
    j->manifest_put = NULL;
    if (status != SL_OK) {
        sl_error own = *error;
        job_fail_here(j,
                      status == SL_ECONFLICT || status == SL_ECORRUPT ? SL_EIO : status,
                      &own, false);
        return;
    }
    j->uploaded = true;
    job_copy(j);
}

static void put_manifest(job *j) {
    sl_error error;
    sl_buffer_clear(&j->manifest);
    manifest_text(j->of->bucket, j->stage.list, j->stage.count, &j->manifest);
    sl_buffer_clear(&j->manifest_key);
    sl_buffer_append(&j->manifest_key, j->key_begin.bytes, j->key_begin.length);
    sl_buffer_text(&j->manifest_key, "manifest.json");
    const char *key = sl_buffer_cstr(&j->manifest_key);
    const sl_object_put put = {.bucket = j->of->bucket,
                               .key = key,
                               .bytes = j->manifest.bytes,
                               .length = j->manifest.length,
                               .content_type = "application/json"};
    sl_status status =
        j->manifest.failed || j->manifest_key.failed
            ? sl_error_set(&error, SL_ENOMEM, "out of memory")
            : sl_object_store_put(j->of->options.store, &put, put_manifest_done, j,
                                  &j->manifest_put, &error);
    if (status != SL_OK)
        job_fail_here(j, status, &error, false);
}
