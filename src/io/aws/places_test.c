/* Parsers of files and replies, and the decision where credentials come from: no network. */
#include "plan.h"
#include "replies.h"
#include "sluice/io_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

/* ---- Files of settings ---- */

static void settings_are_read_as_other_programs_read_them(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbf# head\r\n"
                               "[default]\r\n"
                               "Region = eu-central-1\r\n"
                               "aws_secret_access_key=a/b+c=#;d \t\r\n"
                               "\n"
                               "s3 =\n"
                               "  addressing_style = path\n"
                               "  max = 1\n"
                               "output = json ; table\n"
                               "[ profile   \"two\" ] # the other\n"
                               "   region = a\n"
                               "   empty =\n"
                               "   role_arn = arn:aws:iam::1:role/x # why\n"
                               "   none = # nothing\n"
                               "[default]\n"
                               "region = us-west-2\n"
                               "; end";
    sl_arena arena;
    sl_aws_ini ini = {0};
    sl_error error = {0};
    sl_arena_init(&arena, 256);
    if (sl_aws_ini_read(&ini, &arena, text, sizeof text - 1, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_string_equal(sl_aws_ini_get(&ini, "", "default", "region"), "us-west-2");
    assert_string_equal(sl_aws_ini_get(&ini, "", "default", "aws_secret_access_key"), "a/b+c=#;d");
    assert_string_equal(sl_aws_ini_get(&ini, "", "default", "s3"), "");
    assert_string_equal(sl_aws_ini_get(&ini, "", "default", "output"), "json");
    assert_null(sl_aws_ini_get(&ini, "", "default", "addressing_style"));
    assert_string_equal(sl_aws_ini_get(&ini, "profile ", "two", "region"), "a");
    assert_string_equal(sl_aws_ini_get(&ini, "profile ", "two", "empty"), "");
    assert_string_equal(sl_aws_ini_get(&ini, "profile ", "two", "role_arn"), "arn:aws:iam::1:role/x");
    assert_string_equal(sl_aws_ini_get(&ini, "profile ", "two", "none"), "");
    assert_non_null(sl_aws_ini_get(&ini, "profile ", "two", ""));
    assert_null(sl_aws_ini_get(&ini, "profile ", "three", ""));
    assert_null(sl_aws_ini_get(&ini, "", "two", ""));
    sl_arena_fini(&arena);
}

static void what_is_no_file_of_settings_names_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
    } cases[] = {{"region = x", 1}, {"[a]\nregion\n", 2},   {"[a\n", 1},      {"\n[a] b\n", 2},    {"[]", 1},
                 {"[ \" ]", 1},     {"[a]\n= value\n", 2}, {"[a]\n\n  b", 3}, {"[a]\nb = 1\nc", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sl_arena arena;
        sl_aws_ini ini = {0};
        sl_error error = {0};
        char expected[32];
        sl_arena_init(&arena, 256);
        assert_int_equal(sl_aws_ini_read(&ini, &arena, cases[i].text, strlen(cases[i].text), &error), SL_ESYNTAX);
        (void)snprintf(expected, sizeof expected, "line %u ", cases[i].line);
        assert_memory_equal(error.text, expected, strlen(expected));
        sl_arena_fini(&arena);
    }
    sl_arena arena;
    sl_aws_ini ini = {0};
    sl_arena_init(&arena, 256);
    assert_int_equal(sl_aws_ini_read(&ini, &arena, "[a]\0", 4, NULL), SL_ESYNTAX);
    assert_int_equal(sl_aws_ini_read(&ini, &arena, "", 0, NULL), SL_OK);
    assert_null(ini.settings);
    sl_arena_fini(&arena);
}

/* ---- Replies ---- */

static sl_status read_json(const char *text, sl_aws_owned_keys *keys, sl_error *error) {
    *keys = (sl_aws_owned_keys){0};
    return sl_aws_read_json_keys(text, strlen(text), keys, error);
}

static void keys_come_from_json(void **state) {
    (void)state;
    sl_aws_owned_keys keys;
    sl_error error = {0};
    assert_int_equal(read_json("{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s/+=\",\"Token\":\"t\","
                               "\"Expiration\":\"2030-01-01T00:00:00Z\",\"More\":[1]}",
                               &keys, &error),
                     SL_OK);
    assert_string_equal(keys.access_key_id, "A");
    assert_string_equal(keys.secret_access_key, "s/+=");
    assert_string_equal(keys.session_token, "t");
    assert_true(keys.expires_us == INT64_C(1893456000) * SL_SECOND_US);
    sl_aws_owned_keys_fini(&keys);
    assert_int_equal(read_json("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"\"}", &keys, &error), SL_OK);
    assert_null(keys.session_token);
    assert_true(keys.expires_us == INT64_MAX);
    sl_aws_owned_keys_fini(&keys);
}

static void json_without_keys_is_refused_and_not_repeated(void **state) {
    (void)state;
    static const struct {
        const char *text;
        sl_status status;
    } cases[] = {
        {"", SL_EIO},
        {"[]", SL_EIO},
        {"null", SL_EIO},
        {"{\"AccessKeyId\":\"A\"", SL_EIO},
        {"{\"AccessKeyId\":\"A\",\"AccessKeyId\":\"SECRET\"}", SL_EIO},
        {"{}", SL_EDENIED},
        {"{\"AccessKeyId\":\"A\"}", SL_EDENIED},
        {"{\"AccessKeyId\":1,\"SecretAccessKey\":\"SECRET\"}", SL_EDENIED},
        {"{\"AccessKeyId\":\"A\\nX\",\"SecretAccessKey\":\"SECRET\"}", SL_EDENIED},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"t \"}", SL_EDENIED},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\\u0000\"}", SL_EIO},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\",\"Expiration\":\"soon\"}", SL_EIO},
        {"{\"Code\":\"AssumeRoleUnauthorizedAccess\\n\"}", SL_EDENIED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sl_aws_owned_keys keys;
        sl_error error = {0};
        assert_int_equal(read_json(cases[i].text, &keys, &error), cases[i].status);
        assert_null(keys.access_key_id);
        assert_null(strstr(error.text, "SECRET"));
        assert_null(strchr(error.text, '\n'));
    }
    char *deep = sl_malloc(200001);
    assert_non_null(deep);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    sl_aws_owned_keys keys;
    assert_int_equal(read_json(deep, &keys, NULL), SL_EIO);
    sl_free(deep);
}

static const char sts[] = "<?xml version=\"1.0\"?>\n<!-- a > b -->"
                          "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n <AssumeRoleResult>\n"
                          "  <AssumedRoleUser><Arn>a</Arn><AccessKeyId>not this</AccessKeyId></AssumedRoleUser><Empty/>"
                          "<Credentials a='>'>"
                          "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey><![CDATA[s/]]>+&#x3d;</SecretAccessKey>"
                          "<SessionToken>t&amp;&lt;&gt;&quot;&apos;&#65;</SessionToken>"
                          "<Expiration >2030-01-01T00:00:00.000Z</Expiration ></Credentials></AssumeRoleResult></AssumeRoleResponse>";

static void keys_come_from_sts(void **state) {
    (void)state;
    sl_aws_owned_keys keys = {0};
    sl_error error = {0};
    if (sl_aws_read_sts_keys(sts, sizeof sts - 1, &keys, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_string_equal(keys.access_key_id, "ASIA1");
    assert_string_equal(keys.secret_access_key, "s/+=");
    assert_string_equal(keys.session_token, "t&<>\"'A");
    assert_true(keys.expires_us == INT64_C(1893456000) * SL_SECOND_US);
    sl_aws_owned_keys_fini(&keys);
    const char end[] = "</Expiration >";
    size_t whole = (size_t)(strstr(sts, end) - sts) + sizeof end - 1;
    for (size_t length = 0; length < whole; length++)
        assert_int_not_equal(sl_aws_read_sts_keys(sts, length, &keys, &error), SL_OK);
}

static void broken_xml_gives_no_text(void **state) {
    (void)state;
    static const char *const cases[] = {
        "<a><b>x",
        "<a><b>x</a>",
        "<a></b><b>x</b></a>",
        "<a><b>&unknown;</b></a>",
        "<a><b>&#xd800;</b></a>",
        "<a><b>&#x110000;</b></a>",
        "<a><b>&#;</b></a>",
        "<a><b>&#99999999999999999999;</b></a>",
        "<a><b>&#0;</b></a>",
        "<a><b>&amp</b></a>",
        "<a><b>x<c/></b></a>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a><b>&x;</b></a>",
        "<a><b><![CDATA[x</b></a>",
        "<a><!-- <b>x</b></a>",
        "<a <b>x</b></a>",
        "<a><c><b>x</b></c></a>",
        "<a b=\"<b>x</b>\"/>",
        "<a><b/></a>",
        "<><b>x</b></>",
    };
    sl_buffer out = SL_BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_false(sl_aws_xml_text(cases[i], strlen(cases[i]), "a", "b", &out));
    sl_buffer deep = SL_BUFFER_EMPTY;
    for (int i = 0; i < 40; i++)
        sl_buffer_text(&deep, "<a>");
    sl_buffer_text(&deep, "<b>x</b>");
    assert_false(sl_aws_xml_text(deep.bytes, deep.length, "a", "b", &out));
    assert_true(sl_aws_xml_text("<a><b>x&#x20ac;&#x1f600;&#233;</b>", 34, "a", "b", &out));
    assert_string_equal(sl_buffer_cstr(&out), "x\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
    sl_buffer_fini(&deep);
    sl_buffer_fini(&out);
}

static void refusal_of_sts_is_shown_in_one_line(void **state) {
    (void)state;
    static const char text[] = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is\nnot "
                               "\xc3\xa9</Message></Error></ErrorResponse>";
    char words[64], few[10];
    sl_aws_read_sts_error(text, sizeof text - 1, words, sizeof words);
    assert_string_equal(words, "AccessDenied: User is not   ");
    sl_aws_read_sts_error(text, sizeof text - 1, few, sizeof few);
    assert_string_equal(few, "AccessDen");
    sl_aws_read_sts_error("<html>", 6, words, sizeof words);
    assert_string_equal(words, "");
}

/* ---- Where from ---- */

typedef struct place {
    sl_arena arena;
    sl_aws_plan plan;
    sl_error error;
    sl_aws_credentials_options options;
    const char *names[12], *values[12];
    size_t count;
    char home[40];
} place;

static const char *variable(void *context, const char *name) {
    const place *p = context;
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->names[i], name) == 0)
            return p->values[i];
    return NULL;
}

static void set(place *p, const char *name, const char *value) {
    assert_true(p->count < sizeof p->names / sizeof p->names[0]);
    p->names[p->count] = name;
    p->values[p->count++] = value;
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[96];
    (void)snprintf(path, sizeof path, "%s%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void remove_file(const char *folder, const char *name) {
    char path[96];
    (void)snprintf(path, sizeof path, "%s%s", folder, name);
    (void)remove(path);
}

static void open_place(place *p, const char *config, const char *credentials) {
    memset(p, 0, sizeof *p);
    (void)snprintf(p->home, sizeof p->home, "/tmp/aws_places_XXXXXX");
    assert_non_null(mkdtemp(p->home));
    char folder[64];
    (void)snprintf(folder, sizeof folder, "%s/.aws", p->home);
    assert_int_equal(mkdir(folder, 0700), 0);
    if (config != NULL)
        write_file(p->home, "/.aws/config", config);
    if (credentials != NULL)
        write_file(p->home, "/.aws/credentials", credentials);
    set(p, "HOME", p->home);
    sl_arena_init(&p->arena, 256);
}

static sl_status decide(place *p) {
    sl_aws_surroundings around = {variable, p, sl_files_system(), &p->arena};
    return sl_aws_plan_make(&around, &p->options, &p->plan, &p->error);
}

static void close_place(place *p) {
    remove_file(p->home, "/.aws/config");
    remove_file(p->home, "/.aws/credentials");
    remove_file(p->home, "/.aws");
    remove_file(p->home, "");
    sl_arena_fini(&p->arena);
}

#define KEYS(id) "aws_access_key_id = " id "\naws_secret_access_key = secret\n"

static void options_precede_environment_precedes_files(void **state) {
    (void)state;
    place p;
    open_place(&p, "[default]\nregion = from-file\n[profile p]\nregion = of-p\n", "[default]\n" KEYS("FILE") "[p]\n" KEYS("P"));
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.name, "profile default");
    assert_string_equal(p.plan.access_key_id, "FILE");
    assert_string_equal(p.plan.region, "from-file");
    set(&p, "AWS_PROFILE", "p");
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.access_key_id, "P");
    assert_string_equal(p.plan.region, "of-p");
    set(&p, "AWS_ACCESS_KEY_ID", "ENV");
    set(&p, "AWS_SECRET_ACCESS_KEY", "s");
    set(&p, "AWS_SESSION_TOKEN", "");
    set(&p, "AWS_DEFAULT_REGION", "from-env");
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.name, "environment");
    assert_string_equal(p.plan.access_key_id, "ENV");
    assert_null(p.plan.session_token);
    assert_string_equal(p.plan.region, "from-env");
    set(&p, "AWS_REGION", "nearer");
    p.options.profile = "default";
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.access_key_id, "FILE");
    assert_string_equal(p.plan.region, "nearer");
    p.options.access_key_id = "OPTION";
    p.options.secret_access_key = "s";
    p.options.region = "given";
    p.options.role_arn = "arn:last";
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.name, "configuration");
    assert_string_equal(p.plan.region, "given");
    assert_int_equal(p.plan.role_count, 1);
    assert_string_equal(p.plan.roles[0].arn, "arn:last");
    assert_string_equal(p.plan.roles[0].session_name, "sluice");
    close_place(&p);
}

static void roles_are_assumed_from_the_source_outwards(void **state) {
    (void)state;
    place p;
    open_place(&p,
               "[profile a]\nrole_arn = arn:a\nsource_profile = b\nexternal_id = x\nduration_seconds = 900\n"
               "[profile b]\nrole_arn = arn:b\nsource_profile = c\nrole_session_name = me\n"
               "[profile c]\n" KEYS("C") "[profile self]\nrole_arn = arn:self\nsource_profile = self\n" KEYS("SELF")
               "[profile web]\nrole_arn = arn:w\nweb_identity_token_file = /t\n"
               "[profile onweb]\nrole_arn = arn:o\nsource_profile = web\n"
               "[profile ecs]\nrole_arn = arn:e\ncredential_source = EcsContainer\n"
               "[profile env]\nrole_arn = arn:v\ncredential_source = Environment\n"
               "[profile ec2]\nrole_arn = arn:i\ncredential_source = Ec2InstanceMetadata\n",
               NULL);
    p.options.profile = "a";
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.access_key_id, "C");
    assert_int_equal(p.plan.role_count, 2);
    assert_string_equal(p.plan.roles[0].arn, "arn:b");
    assert_string_equal(p.plan.roles[0].session_name, "me");
    assert_string_equal(p.plan.roles[1].arn, "arn:a");
    assert_string_equal(p.plan.roles[1].external_id, "x");
    assert_int_equal(p.plan.roles[1].duration_s, 900);
    p.options.profile = "self";
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.access_key_id, "SELF");
    assert_int_equal(p.plan.role_count, 1);
    p.options.profile = "onweb";
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.source, SL_AWS_SOURCE_WEB_IDENTITY);
    assert_string_equal(p.plan.web.arn, "arn:w");
    assert_string_equal(p.plan.token_file, "/t");
    assert_int_equal(p.plan.role_count, 1);
    p.options.profile = "ecs";
    set(&p, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.source, SL_AWS_SOURCE_CONTAINER);
    assert_string_equal(p.plan.url, "http://169.254.170.2/v2/x");
    p.options.profile = "env";
    assert_int_equal(decide(&p), SL_EDENIED);
    set(&p, "AWS_ACCESS_KEY_ID", "ENV");
    set(&p, "AWS_SECRET_ACCESS_KEY", "s");
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.role_count, 1);
    p.options.profile = "ec2";
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.source, SL_AWS_SOURCE_INSTANCE);
    assert_false(p.plan.fallback);
    close_place(&p);
}

static void profile_that_cannot_be_used_says_why(void **state) {
    (void)state;
    static const struct {
        const char *profile, *text;
    } cases[] = {
        {"absent", "there is no profile absent"},
        {"half", "profile half: there is an access key id but no secret access key"},
        {"process", "credential_process isn't supported"},
        {"sso", "single sign-on isn't supported"},
        {"circle", "leads in a circle"},
        {"lost", "there is no source_profile nowhere"},
        {"bare", "needs source_profile"},
        {"odd", "is none of Environment"},
        {"poor", "no keys to assume a role with"},
        {"r0", "more than 8 roles in a row"},
    };
    sl_buffer config = SL_BUFFER_EMPTY;
    sl_buffer_text(&config, "[profile half]\naws_access_key_id = A\n[profile process]\ncredential_process = /x\n"
                            "[profile sso]\nsso_start_url = https://x\n"
                            "[profile circle]\nrole_arn = arn:c\nsource_profile = circle2\n"
                            "[profile circle2]\nrole_arn = arn:d\nsource_profile = circle\n"
                            "[profile lost]\nrole_arn = arn:l\nsource_profile = nowhere\n"
                            "[profile bare]\nrole_arn = arn:b\n" KEYS("X") "[profile odd]\nrole_arn = arn:o\ncredential_source = Moon\n"
                            "[profile poor]\nrole_arn = arn:p\nsource_profile = empty\n[profile empty]\nregion = x\n");
    for (int i = 0; i < 12; i++)
        sl_buffer_printf(&config, "[profile r%d]\nrole_arn = arn:r\nsource_profile = r%d\n", i, i + 1);
    place p;
    open_place(&p, sl_buffer_cstr(&config), NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        p.options.profile = cases[i].profile;
        assert_int_equal(decide(&p), SL_EDENIED);
        if (strstr(p.error.text, cases[i].text) == NULL)
            fail_msg("%s instead of %s", p.error.text, cases[i].text);
    }
    close_place(&p);
    sl_buffer_fini(&config);
    open_place(&p, NULL, "[default]\nbroken\n");
    assert_int_equal(decide(&p), SL_ESYNTAX);
    assert_non_null(strstr(p.error.text, "/.aws/credentials: line 2 "));
    close_place(&p);
}

static void without_anything_configured_the_instance_is_asked(void **state) {
    (void)state;
    place p;
    open_place(&p, "[default]\nregion = r\n", NULL);
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.source, SL_AWS_SOURCE_INSTANCE);
    assert_true(p.plan.fallback);
    assert_string_equal(p.plan.url, "http://169.254.169.254");
    assert_string_equal(p.plan.region, "r");
    set(&p, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6");
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.url, "http://[fd00:ec2::254]");
    set(&p, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9/");
    set(&p, "AWS_ENDPOINT_URL", "http://all");
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.url, "http://127.0.0.1:9");
    assert_string_equal(p.plan.sts_endpoint, "http://all");
    set(&p, "AWS_ENDPOINT_URL_STS", "http://sts");
    assert_int_equal(decide(&p), SL_OK);
    assert_string_equal(p.plan.sts_endpoint, "http://sts");
    set(&p, "AWS_EC2_METADATA_DISABLED", "TRUE");
    assert_int_equal(decide(&p), SL_EDENIED);
    set(&p, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    assert_int_equal(decide(&p), SL_EDENIED);
    set(&p, "AWS_ROLE_ARN", "arn:web");
    assert_int_equal(decide(&p), SL_OK);
    assert_int_equal(p.plan.source, SL_AWS_SOURCE_WEB_IDENTITY);
    close_place(&p);
}

static void token_of_a_container_is_sent_only_where_it_belongs(void **state) {
    (void)state;
    static const char *const good[] = {"http://localhost/x", "http://127.0.0.1:51679/x", "http://[::1]:8080/", "http://169.254.170.23/v1",
                                       "https://anywhere.example/x", "http://[fd00:ec2::23]/v1"};
    static const char *const bad[] = {"http://example.com/", "http://localhost.example.com/", "http://127.0.0.1.example.com/",
                                      "http://169.254.170.2@example.com/", "ftp://localhost/", "localhost", "http://[::2]/", ""};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(sl_aws_container_url_allowed(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(sl_aws_container_url_allowed(bad[i]));
    place p;
    open_place(&p, NULL, NULL);
    set(&p, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/");
    assert_int_equal(decide(&p), SL_EDENIED);
    close_place(&p);
}

static void token_file_loses_its_last_line_end_and_may_hold_one_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {{"Bearer abc\n", true}, {"Bearer abc", true}, {"", false}, {"\n", false}, {"a\nb", false}, {"\xc3\xa9", false}};
    place p;
    open_place(&p, NULL, NULL);
    sl_aws_surroundings around = {variable, &p, sl_files_system(), &p.arena};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[96];
        const char *token = NULL;
        write_file(p.home, "/.aws/config", cases[i].text);
        (void)snprintf(path, sizeof path, "%s/.aws/config", p.home);
        assert_int_equal(sl_aws_read_token(&around, path, &token, &p.error), cases[i].ok ? SL_OK : SL_EDENIED);
        if (cases[i].ok)
            assert_string_equal(token, "Bearer abc");
    }
    const char *token = NULL;
    assert_int_equal(sl_aws_read_token(&around, "/nowhere", &token, &p.error), SL_EDENIED);
    close_place(&p);
}

static void every_failed_allocation_of_a_plan_is_a_status(void **state) {
    (void)state;
    unsigned failed = 0;
    for (uint64_t n = 1;; n++) {
        place p;
        open_place(&p, "[profile a]\nrole_arn = arn:a\nsource_profile = default\n", "[default]\n" KEYS("A"));
        p.options.profile = "a";
        sl_memory_fail_at(n);
        sl_status status = decide(&p);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_int_equal(status, all ? SL_OK : SL_ENOMEM);
        close_place(&p);
        if (all)
            break;
        failed++;
    }
    assert_true(failed >= 4);
    for (uint64_t n = 1;; n++) {
        sl_aws_owned_keys keys = {0};
        sl_memory_fail_at(n);
        sl_status status = sl_aws_read_sts_keys(sts, sizeof sts - 1, &keys, NULL);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_int_equal(status, all ? SL_OK : SL_ENOMEM);
        sl_aws_owned_keys_fini(&keys);
        if (all)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read_as_other_programs_read_them),
        cmocka_unit_test(what_is_no_file_of_settings_names_its_line),
        cmocka_unit_test(keys_come_from_json),
        cmocka_unit_test(json_without_keys_is_refused_and_not_repeated),
        cmocka_unit_test(keys_come_from_sts),
        cmocka_unit_test(broken_xml_gives_no_text),
        cmocka_unit_test(refusal_of_sts_is_shown_in_one_line),
        cmocka_unit_test(options_precede_environment_precedes_files),
        cmocka_unit_test(roles_are_assumed_from_the_source_outwards),
        cmocka_unit_test(profile_that_cannot_be_used_says_why),
        cmocka_unit_test(without_anything_configured_the_instance_is_asked),
        cmocka_unit_test(token_of_a_container_is_sent_only_where_it_belongs),
        cmocka_unit_test(token_file_loses_its_last_line_end_and_may_hold_one_line),
        cmocka_unit_test(every_failed_allocation_of_a_plan_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
