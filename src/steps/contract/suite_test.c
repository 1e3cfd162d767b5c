// The official test suite of JSON Schema, as far as it lies in
// $SLUICE_SHARED_DATA/json_schema (by default ../shared/data beside the checkout).
// Schemas of its `remotes` folder are handed over as documents, under the URI that the
// suite says.
//
//   suite_test [folder]
//
// Required tests: all of them, with `format` as an annotation, as the suite wants it
// there. Optional ones: the formats that are supported, asserted; numbers of any size;
// patterns; references into places that a keyword that is no keyword holds.

#include "tree.h"

#include "sluice/contract.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILES_MAX 500

typedef struct file {
    char name[300];
    char *text;
    size_t length;
} file;

static file remotes[FILES_MAX];
static sl_contract_document documents[FILES_MAX];
static char uris[FILES_MAX][400];
static size_t remote_count;
static unsigned passed, failed, files;

static char *read_file(const char *path, size_t *length) {
    FILE *in = fopen(path, "rb");
    if (in == NULL)
        return NULL;
    struct stat about;
    char *text =
        stat(path, &about) == 0 ? calloc(1, (size_t)about.st_size + SL_PADDING) : NULL;
    *length = text == NULL ? 0 : fread(text, 1, (size_t)about.st_size, in);
    fclose(in);
    return text;
}

static bool ends_in(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a >= b && strcmp(text + a - b, tail) == 0;
}

/** `each` for every .json file below `top`. */
static void walk(const char *top, const char *below,
                 void (*each)(const char *path, const char *name)) {
    char path[1024];
    snprintf(path, sizeof path, "%s%s", top, below);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        char name[600];
        struct stat about;
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", below, e->d_name);
        snprintf(path, sizeof path, "%s%s", top, name);
        if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
            walk(top, name, each);
        else if (ends_in(name, ".json"))
            each(path, name + 1);
    }
    closedir(folder);
}

static void take_remote(const char *path, const char *name) {
    if (strncmp(name, "draft2020-12/", 13) != 0 || remote_count == FILES_MAX)
        return;
    file *f = &remotes[remote_count];
    f->text = read_file(path, &f->length);
    snprintf(uris[remote_count], sizeof uris[0], "http://localhost:1234/%s", name);
    documents[remote_count] = (sl_contract_document){
        .uri = uris[remote_count], .text = f->text, .length = f->length};
    remote_count++;
}

// What is not built, or decided otherwise; each with its reason.
static const struct {
    const char *file, *why;
} left_out[] = {
    {"optional/format/uri-template.json",
     "the format uri-template is not supported: an error at start"},
    {"optional/format/unknown.json", "an unknown format is an error at start"},
    {"optional/cross-draft.json", "only draft 2020-12 is supported"},
};

static const char *reason_to_leave(const char *name) {
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(left_out[i].file, name) == 0)
            return left_out[i].why;
    return NULL;
}

static void run_test(const tree *t, uint32_t test, sl_contract_checker *checker,
                     const char *name, const char *group) {
    uint32_t data = sl_tree_get(t, test, "data"), valid = sl_tree_get(t, test, "valid");
    const tree_node *n = &t->nodes[data],
                    *about = &t->nodes[sl_tree_get(t, test, "description")];
    uint8_t *text = calloc(1, n->length + SL_PADDING);
    memcpy(text, t->text + n->begin, n->length);
    sl_contract_refusal refusal = {.message = ""};
    sl_status status = sl_contract_check(checker, text, n->length, &refusal);
    bool want = t->nodes[valid].kind == JSON_TRUE;
    if (status == (want ? SL_OK : SL_EINVAL)) {
        passed++;
    } else {
        failed++;
        printf("%s: %s: %.*s: %s, expected %s: %.*s %s\n", name, group,
               (int)about->as.string.length, (const char *)about->as.string.bytes,
               status == SL_OK       ? "valid"
               : status == SL_EINVAL ? "refused"
                                     : "out of memory",
               want ? "valid" : "refused", (int)(n->length > 80 ? 80 : n->length),
               (char *)text, refusal.message);
    }
    free(text);
}

static void run_group(const tree *t, uint32_t group, const char *name) {
    uint32_t schema = sl_tree_get(t, group, "schema"),
             tests = sl_tree_get(t, group, "tests");
    const tree_node *n = &t->nodes[schema],
                    *about = &t->nodes[sl_tree_get(t, group, "description")];
    char title[200];
    snprintf(title, sizeof title, "%.*s", (int)about->as.string.length,
             (const char *)about->as.string.bytes);
    bool formats = strncmp(name, "optional/format/", 16) == 0;
    sl_contract_options options = {.format_annotates = !formats,
                                   .unknown_annotates = true,
                                   .documents = documents,
                                   .document_count = remote_count};
    sl_contract *contract;
    sl_contract_checker *checker;
    sl_error error;
    sl_status status = sl_contract_compile((const char *)t->text + n->begin, n->length,
                                           &options, &contract, &error);
    if (status != SL_OK) {
        failed++;
        printf("%s: %s: not compiled: %s\n", name, title, error.text);
        return;
    }
    if (sl_contract_checker_create(contract, NULL, &checker) != SL_OK)
        exit(1);
    for (uint32_t i = tests + 1; i < t->nodes[tests].after; i = t->nodes[i].after)
        run_test(t, i, checker, name, title);
    sl_contract_checker_destroy(checker);
    sl_contract_unref(contract);
}

static void run_file(const char *path, const char *name) {
    const char *why = reason_to_leave(name);
    if (why != NULL) {
        printf("%s left out: %s\n", name, why);
        return;
    }
    size_t length;
    char *text = read_file(path, &length);
    tree t = {0};
    if (text == NULL || sl_tree_parse(&t, (uint8_t *)text, length, 250) != SL_OK) {
        printf("%s: can't be read: %s\n", path, t.fault == NULL ? "" : t.fault);
        failed++;
    } else {
        files++;
        for (uint32_t i = 1; i < t.nodes[0].after; i = t.nodes[i].after)
            run_group(&t, i, name);
    }
    sl_tree_fini(&t);
    free(text);
}

int main(int argc, char **argv) {
    char top[600], path[700];
    const char *shared = getenv("SLUICE_SHARED_DATA");
    snprintf(top, sizeof top, "%s/json_schema",
             shared != NULL ? shared : SLUICE_SHARED_DEFAULT);
    if (argc > 1)
        snprintf(top, sizeof top, "%s", argv[1]);
    snprintf(path, sizeof path, "%s/draft2020-12", top);
    struct stat about;
    if (stat(path, &about) != 0) {
        printf("skipped: there is no %s (set SLUICE_SHARED_DATA)\n", path);
        return 77;
    }
    char other[700];
    snprintf(other, sizeof other, "%s/remotes", top);
    walk(other, "", take_remote);
    walk(path, "", run_file);
    for (size_t i = 0; i < remote_count; i++)
        free(remotes[i].text);
    printf("%u files, %u tests passed, %u failed\n", files, passed, failed);
    return failed != 0 || passed == 0;
}
