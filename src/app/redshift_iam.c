#include "redshift_iam.h"

#include "sluice/timer.h"

#include <stdlib.h>
#include <time.h>

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "postgresql://user:password@host/…": the configuration has checked it. */
static void user_of(const char *url, sl_buffer *out) {
    const char *at = strstr(url, "://");
    at = at == NULL ? url : at + 3;
    size_t length = strcspn(at, ":@/?");
    if (at[length] != '@' && at[length] != ':')
        return;
    for (size_t i = 0; i < length; i++) {
        bool coded = at[i] == '%' && i + 2 < length && digit(at[i + 1]) >= 0 && digit(at[i + 2]) >= 0;
        sl_buffer_byte(out, coded ? (uint8_t)(digit(at[i + 1]) * 16 + digit(at[i + 2])) : (uint8_t)at[i]);
        i += coded ? 2 : 0;
    }
}

/* As AWS's own tools name them: for tests, and for endpoints within a VPC. */
static const char *endpoint_of(const sl_config *config) {
    const char *of_service = getenv(config->warehouse.redshift.workgroup != NULL ? "AWS_ENDPOINT_URL_REDSHIFT_SERVERLESS"
                                                                                 : "AWS_ENDPOINT_URL_REDSHIFT");
    const char *endpoint = of_service != NULL && *of_service != 0 ? of_service : getenv("AWS_ENDPOINT_URL");
    return endpoint != NULL && *endpoint != 0 ? endpoint : NULL;
}

sl_redshift_iam sl_redshift_iam_of(const sl_config *config, sl_buffer *user) {
    user_of(config->warehouse.redshift.url, user);
    return (sl_redshift_iam){.cluster = config->warehouse.redshift.cluster,
                             .workgroup = config->warehouse.redshift.workgroup,
                             .user = user->length != 0 ? sl_buffer_cstr(user) : NULL,
                             .region = config->warehouse.redshift.region,
                             .endpoint = endpoint_of(config)};
}

typedef struct login {
    sl_buffer *user, *password;
    sl_error *error;
    sl_status status;
    bool done;
} login;

static void logged_in(void *context, sl_status status, const char *user, const char *password, const sl_error *error) {
    login *l = context;
    l->done = true;
    l->status = status;
    if (status != SL_OK) {
        *l->error = *error;
        return;
    }
    sl_buffer_clear(l->user);
    sl_buffer_text(l->user, user);
    sl_buffer_text(l->password, password);
    if (l->user->failed || l->password->failed)
        l->status = sl_error_set(l->error, SL_ENOMEM, "out of memory");
}

static sl_status ask(const sl_config *config, struct uv_loop_s *loop, login *l, sl_error *error) {
    const sl_http_client_options http = {.ca_file = config->s3.ca_file};
    const sl_aws_credentials_options keys = {.region = config->s3.region};
    sl_http_client *client = NULL;
    sl_aws_credentials *credentials = NULL;
    sl_redshift_login *request;
    sl_buffer user = SL_BUFFER_EMPTY;
    const sl_redshift_iam iam = sl_redshift_iam_of(config, &user);
    const sl_clock clock = sl_clock_system();
    sl_status status = user.failed ? sl_error_set(error, SL_ENOMEM, "out of memory")
                                   : sl_http_client_create(loop, &http, &client, error);
    if (status == SL_OK)
        status = sl_aws_credentials_create(loop, client, &keys, &credentials, error);
    if (status == SL_OK)
        status = sl_redshift_login_start(&iam, client, credentials, clock, logged_in, l, &request, error);
    if (status == SL_OK)
        status = sl_waiting_loop_run(loop, &l->done) ? l->status : sl_error_set(error, SL_EIO, "the loop ended");
    sl_aws_credentials_destroy(credentials);
    sl_http_client_destroy(client);
    sl_buffer_fini(&user);
    return status;
}

sl_status sl_redshift_login_wait(const sl_config *config, sl_buffer *user, sl_buffer *password, sl_error *error) {
    if (config->warehouse.redshift.cluster == NULL && config->warehouse.redshift.workgroup == NULL)
        return SL_OK;
    login l = {.user = user, .password = password, .error = error};
    struct uv_loop_s *loop = sl_waiting_loop_create();
    sl_status status = loop == NULL ? sl_error_set(error, SL_ENOMEM, "out of memory") : ask(config, loop, &l, error);
    sl_waiting_loop_destroy(loop);
    return status;
}
