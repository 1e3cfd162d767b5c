#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_ENDPOINT "http://169.254.169.254"
#define INSTANCE_ENDPOINT_IPV6 "http://[fd00:ec2::254]"
#define SESSION_NAME "sluice"

/** What making a plan carries from place to place. */
typedef struct maker {
    const sl_aws_surroundings *around;
    const sl_aws_credentials_options *options;
    sl_aws_plan *plan;
    sl_error *error;
    sl_aws_ini credentials, config;
    const char *profile;                  /* The one that was asked for. */
    const char *visited[SL_AWS_ROLES_MAX]; /* By source_profile. */
    unsigned visited_count;
} maker;

/** Empty counts as not set. */
static const char *variable(const maker *m, const char *name) {
    const char *value = m->around->variable(m->around->context, name);
    return value != NULL && value[0] != 0 ? value : NULL;
}

static bool is_true(const char *value) {
    return value != NULL && strcasecmp(value, "true") == 0;
}

static sl_status out_of_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/** Two texts in one, in the arena; NULL when out of memory. */
static const char *join(const maker *m, const char *a, const char *b) {
    size_t a_length = strlen(a), b_length = strlen(b);
    char *text = sl_arena_get(m->around->arena, a_length + b_length + 1);
    if (text != NULL) {
        memcpy(text, a, a_length);
        memcpy(text + a_length, b, b_length + 1);
    }
    return text;
}

/* ---- Files ---- */

/** A file that isn't there is empty; so is one that may not be read, unless it was named. */
static sl_status read_ini(maker *m, const char *name, const char *default_path, sl_aws_ini *ini) {
    const char *path = variable(m, name), *home = variable(m, "HOME");
    bool named = path != NULL;
    if (!named) {
        if (home == NULL)
            return SL_OK;
        path = join(m, home, default_path);
        if (path == NULL)
            return out_of_memory(m->error);
    }
    char *text = NULL;
    size_t length = 0;
    sl_status status = sl_files_read_all(m->around->files, path, SL_AWS_FILE_BYTES_MAX, &text, &length, m->error);
    if (status == SL_ENOTFOUND || (status == SL_EDENIED && !named))
        return SL_OK;
    if (status != SL_OK)
        return status;
    status = sl_aws_ini_read(ini, m->around->arena, text, length, m->error);
    if (status != SL_OK)
        (void)sl_error_context(m->error, "%s", path);
    sl_free(text);
    return status;
}

/** In the config file a profile's section is [profile x], but for [default]. */
static const char *from_config(const maker *m, const char *profile, const char *key) {
    const char *value = sl_aws_ini_get(&m->config, "profile ", profile, key);
    if (value == NULL && strcmp(profile, "default") == 0)
        value = sl_aws_ini_get(&m->config, "", profile, key);
    return value;
}

/** The credentials file goes first; empty counts as not set. */
static const char *setting(const maker *m, const char *profile, const char *key) {
    const char *value = sl_aws_ini_get(&m->credentials, "", profile, key);
    if (value == NULL || value[0] == 0)
        value = from_config(m, profile, key);
    return value != NULL && value[0] != 0 ? value : NULL;
}

static bool profile_exists(const maker *m, const char *profile) {
    return sl_aws_ini_get(&m->credentials, "", profile, "") != NULL || from_config(m, profile, "") != NULL;
}

sl_status sl_aws_read_token(const sl_aws_surroundings *around, const char *path, const char **token, sl_error *error) {
    char *text = NULL;
    size_t length = 0;
    sl_status status = sl_files_read_all(around->files, path, SL_AWS_TOKEN_BYTES_MAX, &text, &length, error);
    if (status != SL_OK)
        return sl_error_set(error, status == SL_ENOMEM ? SL_ENOMEM : SL_EDENIED, "token: %s",
                            error != NULL ? error->text : "");
    while (length > 0 && (unsigned char)text[length - 1] <= 0x20)
        length--;
    bool ok = length > 0;
    for (size_t i = 0; i < length; i++)
        ok = ok && text[i] >= 0x20 && text[i] <= 0x7e;
    if (!ok) {
        status = sl_error_set(error, SL_EDENIED, "token: %s is empty or holds no token", path);
    } else {
        *token = sl_arena_strndup(around->arena, text, length);
        if (*token == NULL)
            status = out_of_memory(error);
    }
    sl_free(text);
    return status;
}

/* ---- Places ---- */

static const char *session_name(const maker *m) {
    const char *name = variable(m, "AWS_ROLE_SESSION_NAME");
    return m->options->role_session_name != NULL ? m->options->role_session_name : name != NULL ? name : SESSION_NAME;
}

static sl_status plan_keys(maker *m, const char *name, const char *id, const char *secret, const char *token) {
    if (id == NULL || secret == NULL)
        return sl_error_set(m->error, SL_EDENIED, "%s: there is %s but no %s", name,
                            id != NULL ? "an access key id" : "a secret access key",
                            id != NULL ? "secret access key" : "access key id");
    m->plan->source = SL_AWS_SOURCE_KEYS;
    m->plan->name = name;
    m->plan->access_key_id = id;
    m->plan->secret_access_key = secret;
    m->plan->session_token = token;
    return SL_OK;
}

static sl_status plan_environment(maker *m) {
    return plan_keys(m, "environment", variable(m, "AWS_ACCESS_KEY_ID"), variable(m, "AWS_SECRET_ACCESS_KEY"),
                     variable(m, "AWS_SESSION_TOKEN"));
}

/** "http://host[:port]", and "https" too, without what follows. */
static size_t host_span(const char *url, const char **host) {
    const char *begin = strstr(url, "://");
    *host = begin != NULL ? begin + 3 : url;
    if (**host == '[')
        return strcspn(*host, "]") + 1;
    return strcspn(*host, ":/?#");
}

bool sl_aws_container_url_allowed(const char *url) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    const char *host;
    size_t length = host_span(url, &host);
    if (strncmp(url, "https://", 8) == 0)
        return true;
    if (strncmp(url, "http://", 7) != 0)
        return false;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (strlen(hosts[i]) == length && strncasecmp(hosts[i], host, length) == 0)
            return true;
    return false;
}

static sl_status plan_container(maker *m) {
    const char *relative = variable(m, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = variable(m, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative == NULL && full == NULL)
        return sl_error_set(m->error, SL_EDENIED, "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI isn't set");
    m->plan->source = SL_AWS_SOURCE_CONTAINER;
    m->plan->name = "container";
    m->plan->url = relative != NULL ? join(m, CONTAINER_HOST, relative) : full;
    if (m->plan->url == NULL)
        return out_of_memory(m->error);
    if ((relative != NULL && relative[0] != '/') || !sl_aws_container_url_allowed(m->plan->url))
        return sl_error_set(m->error, SL_EDENIED,
                            "container: the credentials' URL must be https, or http to this host or ECS's and EKS's addresses");
    m->plan->authorization_file = variable(m, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    m->plan->authorization = variable(m, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    return SL_OK;
}

static sl_status plan_instance(maker *m) {
    const char *endpoint = variable(m, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = variable(m, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (is_true(variable(m, "AWS_EC2_METADATA_DISABLED")))
        return sl_error_set(m->error, SL_EDENIED,
                            "none in the environment, in profile %s or from a container; AWS_EC2_METADATA_DISABLED is set",
                            m->profile);
    if (endpoint == NULL)
        endpoint = mode != NULL && strcasecmp(mode, "IPv6") == 0 ? INSTANCE_ENDPOINT_IPV6 : INSTANCE_ENDPOINT;
    size_t length = strlen(endpoint);
    while (length > 0 && endpoint[length - 1] == '/')
        length--;
    m->plan->source = SL_AWS_SOURCE_INSTANCE;
    m->plan->name = "instance metadata";
    m->plan->url = sl_arena_strndup(m->around->arena, endpoint, length);
    return m->plan->url != NULL ? SL_OK : out_of_memory(m->error);
}

static sl_status plan_web(maker *m, const char *name, const char *token_file, const char *role_arn, const char *session) {
    if (role_arn == NULL)
        return sl_error_set(m->error, SL_EDENIED, "%s: a web identity token file needs a role's ARN", name);
    m->plan->source = SL_AWS_SOURCE_WEB_IDENTITY;
    m->plan->name = name;
    m->plan->token_file = token_file;
    m->plan->web = (sl_aws_role){.arn = role_arn, .session_name = session};
    return SL_OK;
}

static sl_status add_role(maker *m, const char *profile) {
    if (m->plan->role_count == SL_AWS_ROLES_MAX)
        return sl_error_set(m->error, SL_EDENIED, "profile %s: more than %d roles in a row", profile, SL_AWS_ROLES_MAX);
    const char *session = setting(m, profile, "role_session_name"), *duration = setting(m, profile, "duration_seconds");
    unsigned long seconds = duration != NULL ? strtoul(duration, NULL, 10) : 0;
    /* The profile that was asked for names the role that is assumed last: put each found one in front. */
    memmove(m->plan->roles + 1, m->plan->roles, m->plan->role_count * sizeof m->plan->roles[0]);
    m->plan->roles[0] = (sl_aws_role){setting(m, profile, "role_arn"), setting(m, profile, "external_id"),
                                      session != NULL ? session : session_name(m),
                                      seconds <= 43200 ? (unsigned)seconds : 43200};
    m->plan->role_count++;
    return SL_OK;
}

static sl_status plan_credential_source(maker *m, const char *profile, const char *source) {
    if (strcasecmp(source, "Environment") == 0)
        return plan_environment(m);
    if (strcasecmp(source, "EcsContainer") == 0)
        return plan_container(m);
    if (strcasecmp(source, "Ec2InstanceMetadata") == 0)
        return plan_instance(m);
    return sl_error_set(m->error, SL_EDENIED, "profile %s: credential_source %s is none of Environment, EcsContainer, Ec2InstanceMetadata",
                        profile, source);
}

static bool visited(const maker *m, const char *profile) {
    for (unsigned i = 0; i < m->visited_count; i++)
        if (strcmp(m->visited[i], profile) == 0)
            return true;
    return false;
}

/** What a profile's own settings give. @return SL_ENOTFOUND: nothing. */
static sl_status plan_own(maker *m, const char *profile) {
    const char *id = setting(m, profile, "aws_access_key_id"), *secret = setting(m, profile, "aws_secret_access_key");
    const char *name = join(m, "profile ", profile);
    if (name == NULL)
        return out_of_memory(m->error);
    if (id != NULL || secret != NULL)
        return plan_keys(m, name, id, secret, setting(m, profile, "aws_session_token"));
    if (setting(m, profile, "credential_process") != NULL)
        return sl_error_set(m->error, SL_EDENIED, "profile %s: credential_process isn't supported", profile);
    if (setting(m, profile, "sso_session") != NULL || setting(m, profile, "sso_start_url") != NULL)
        return sl_error_set(m->error, SL_EDENIED, "profile %s: single sign-on isn't supported", profile);
    return SL_ENOTFOUND;
}

/** Follows source_profile from role to role. @return SL_ENOTFOUND: the first profile says nothing about credentials. */
static sl_status plan_profile(maker *m, const char *profile) {
    for (;;) {
        const char *role = setting(m, profile, "role_arn"), *next = setting(m, profile, "source_profile");
        const char *token_file = setting(m, profile, "web_identity_token_file");
        const char *source = setting(m, profile, "credential_source"), *session = setting(m, profile, "role_session_name");
        if (role == NULL)
            break;
        if (next == NULL && token_file == NULL && source == NULL)
            return sl_error_set(m->error, SL_EDENIED,
                                "profile %s: its role needs source_profile, credential_source or web_identity_token_file", profile);
        if (token_file != NULL) {
            const char *name = join(m, "profile ", profile);
            return name == NULL ? out_of_memory(m->error)
                                : plan_web(m, name, token_file, role, session != NULL ? session : session_name(m));
        }
        sl_status status = add_role(m, profile);
        if (status != SL_OK)
            return status;
        if (next == NULL)
            return plan_credential_source(m, profile, source);
        if (strcmp(next, profile) == 0)
            break; /* The role of a profile by its own keys. */
        m->visited[m->visited_count++] = profile;
        if (visited(m, next))
            return sl_error_set(m->error, SL_EDENIED, "profile %s: source_profile %s leads in a circle", profile, next);
        if (!profile_exists(m, next))
            return sl_error_set(m->error, SL_EDENIED, "profile %s: there is no source_profile %s", profile, next);
        profile = next;
    }
    sl_status status = plan_own(m, profile);
    if (status == SL_ENOTFOUND && m->plan->role_count > 0)
        return sl_error_set(m->error, SL_EDENIED, "profile %s: there are no keys to assume a role with", profile);
    return status;
}

static sl_status plan_first_that_is_configured(maker *m) {
    const sl_aws_credentials_options *options = m->options;
    const char *token_file = variable(m, "AWS_WEB_IDENTITY_TOKEN_FILE");
    if (options->access_key_id != NULL || options->secret_access_key != NULL)
        return plan_keys(m, "configuration", options->access_key_id, options->secret_access_key, options->session_token);
    if (options->profile == NULL) {
        if (variable(m, "AWS_ACCESS_KEY_ID") != NULL || variable(m, "AWS_SECRET_ACCESS_KEY") != NULL)
            return plan_environment(m);
        if (token_file != NULL)
            return plan_web(m, "web identity", token_file, variable(m, "AWS_ROLE_ARN"), session_name(m));
    }
    bool named = options->profile != NULL || variable(m, "AWS_PROFILE") != NULL;
    if (named && !profile_exists(m, m->profile))
        return sl_error_set(m->error, SL_EDENIED, "there is no profile %s", m->profile);
    sl_status status = plan_profile(m, m->profile);
    if (status != SL_ENOTFOUND)
        return status;
    if (variable(m, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
        variable(m, "AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL)
        return plan_container(m);
    m->plan->fallback = true;
    return plan_instance(m);
}

static void plan_region(maker *m) {
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    const char *region = m->options->region;
    for (size_t i = 0; region == NULL && i < sizeof names / sizeof names[0]; i++)
        region = variable(m, names[i]);
    m->plan->region = region != NULL ? region : setting(m, m->profile, "region");
}

static void plan_endpoint(maker *m) {
    const char *endpoint = variable(m, "AWS_ENDPOINT_URL_STS");
    if (is_true(variable(m, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")))
        return;
    m->plan->sts_endpoint = endpoint != NULL ? endpoint : variable(m, "AWS_ENDPOINT_URL");
}

sl_status sl_aws_plan_make(const sl_aws_surroundings *around, const sl_aws_credentials_options *options,
                           sl_aws_plan *plan, sl_error *error) {
    maker m = {.around = around, .options = options, .plan = plan, .error = error};
    *plan = (sl_aws_plan){0};
    m.profile = options->profile != NULL ? options->profile : variable(&m, "AWS_PROFILE");
    if (m.profile == NULL)
        m.profile = "default";
    sl_status status = read_ini(&m, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials", &m.credentials);
    if (status == SL_OK)
        status = read_ini(&m, "AWS_CONFIG_FILE", "/.aws/config", &m.config);
    if (status != SL_OK)
        return status;
    plan_region(&m);
    plan_endpoint(&m);
    status = plan_first_that_is_configured(&m);
    if (status == SL_OK && options->role_arn != NULL) {
        if (plan->role_count == SL_AWS_ROLES_MAX)
            return sl_error_set(error, SL_EDENIED, "more than %d roles in a row", SL_AWS_ROLES_MAX);
        plan->roles[plan->role_count++] =
            (sl_aws_role){options->role_arn, options->external_id, session_name(&m), 0};
    }
    return status;
}
