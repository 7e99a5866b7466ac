/**
 * Entry: files and documents, includes with their cycles, and the way diagnostics are reported.
 *
 * Thread: any. Must not: open files; included text comes through the caller's function.
 */
#include "core/base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/hash.h"
#include "pipelines/spec/spec_priv.h"

static void load_text(struct spec_loader *l, const char *path, struct sl_str text);

/* ---- reporting -------------------------------------------------------------------------------- */

/* A file that two steps run is loaded twice; what is wrong with it is said once. */
static bool is_known(const struct spec_loader *l, struct sl_loc loc, const char *message)
{
    for (size_t i = 0; l->parent != NULL && i < l->diags->list.n; i++) {
        const struct sl_diag *d = &l->diags->list.items[i];
        if (d->loc.line == loc.line && d->loc.column == loc.column &&
            sl_streq(d->loc.file, loc.file) && sl_streq(d->message, message)) {
            return true;
        }
    }
    return false;
}

void sl_spec_report(struct spec_loader *l, enum sl_severity severity, struct sl_loc loc,
                    const char *hint, const char *fmt, ...)
{
    char message[2048];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut: messages are one line */
    va_end(args);
    if (is_known(l, loc, message)) {
        return;
    }
    for (size_t i = 0; i < l->n_files; i++) {
        const struct sl_yaml *y = l->files[i].y;
        if (y != NULL && loc.file != NULL && sl_streq(y->file, loc.file)) {
            sl_yaml_diag(y, l->diags, severity, loc, hint, "%s", message);
            return;
        }
    }
    sl_diag_add(l->diags, severity, loc, (struct sl_str){NULL, 0}, hint, "%s", message);
}

const char *sl_spec_suggest(struct spec_loader *l, const char *word, const char *const *names,
                            size_t n)
{
    const char *near = sl_nearest(word, names, n);
    return near != NULL ? sl_arena_printf(l->arena, "; did you mean '%.128s'?", near) : "";
}

static struct sl_loc file_loc(const char *file)
{
    return (struct sl_loc){.file = file, .line = 1, .column = 1, .width = 1};
}

/* ---- paths ------------------------------------------------------------------------------------ */

const char *sl_spec_join_path(struct spec_loader *l, const char *base, const char *path)
{
    const char *slash = strrchr(base, '/');
    char *joined = slash == NULL
                       ? sl_arena_strdup(l->arena, path)
                       : sl_arena_printf(l->arena, "%.*s/%s", (int)(slash - base), base, path);
    struct sl_str parts[256];
    size_t n = 0;
    bool is_absolute = joined[0] == '/';
    for (const char *p = joined; *p != '\0' && n < SL_LEN(parts);) {
        size_t len = strcspn(p, "/");
        struct sl_str part = {p, len};
        bool is_up = sl_str_eq(part, "..");
        if (is_up && n > 0 && !sl_str_eq(parts[n - 1], "..")) {
            n--;
        } else if (len > 0 && !sl_str_eq(part, ".")) {
            parts[n++] = part;
        }
        p += len + (p[len] == '/');
    }
    struct sl_buf b = SL_BUF_INIT(8192);
    for (size_t i = 0; i < n; i++) {
        sl_buf_puts(&b, i > 0 || is_absolute ? "/" : "");
        sl_buf_add(&b, parts[i].ptr, parts[i].len);
    }
    char *result = sl_arena_strdup(l->arena, sl_buf_str(&b));
    sl_buf_release(&b);
    return result;
}

/* ---- includes --------------------------------------------------------------------------------- */

static void report_include_cycle(struct spec_loader *l, struct sl_loc loc, size_t from,
                                 const char *path)
{
    struct sl_buf b = SL_BUF_INIT(4096);
    for (size_t i = from; i < l->depth; i++) {
        sl_buf_printf(&b, "%s → ", l->files[l->stack[i]].path);
    }
    sl_buf_puts(&b, path);
    spec_error(l, loc, "files include each other: %s", sl_buf_str(&b));
    sl_buf_release(&b);
}

void sl_spec_pin(struct spec_loader *l, const char *path, struct sl_loc loc, struct sl_str text,
                 const struct sl_yaml_node *sha256)
{
    char hex[SL_DIGEST_HEX + 1];
    struct sl_digest digest;
    bool is_pinned = sha256 != NULL && sha256->type == SL_YAML_STR;
    struct sl_include_pin pin = {.file = path, .loc = loc, .is_pinned = is_pinned};
    sl_vec_push(&l->pins, pin);
    if (is_pinned) {
        sl_sha256(text.ptr, text.len, &digest);
        if (!sl_streq(sl_digest_hex(&digest, hex), sha256->text.ptr)) {
            spec_error(l, sha256->loc, "'%s' has another content: its sha256 is %s", path, hex);
        }
    }
}

/* The file named so that was read already; the number of files when there is none. */
static size_t find_file(const struct spec_loader *l, const char *path)
{
    size_t i = 0;
    while (i < l->n_files && !sl_streq(l->files[i].path, path)) {
        i++;
    }
    return i;
}

static void include_file(struct spec_loader *l, const struct sl_yaml_node *item,
                         const struct sl_yaml_node *sha256)
{
    const char *path = sl_spec_join_path(l, l->files[l->stack[l->depth - 1]].path, item->text.ptr);
    for (size_t i = 0; i < l->depth; i++) {
        if (sl_streq(l->files[l->stack[i]].path, path)) {
            report_include_cycle(l, item->loc, i, path);
            return;
        }
    }
    size_t known = find_file(l, path);
    if (known < l->n_files) { /* by another way already */
        sl_spec_pin(l, path, item->loc, l->files[known].text, sha256);
        return;
    }
    struct sl_str text = {NULL, 0};
    struct sl_err err = SL_ERR_INIT;
    if (l->source->read == NULL) {
        spec_error(l, item->loc, "cannot include '%s': files cannot be read here", path);
    } else if (l->depth == SL_SPEC_INCLUDE_DEPTH) {
        spec_error(l, item->loc, "includes are nested deeper than %d files", SL_SPEC_INCLUDE_DEPTH);
    } else if (l->n_files == SPEC_FILES_MAX) {
        spec_error(l, item->loc, "more than %d included files", SL_SPEC_INCLUDES_MAX);
    } else if (l->source->read(l->source->data, l->arena, path, &text, &err) < 0) {
        spec_error(l, item->loc, "cannot include '%s': %s", path, err.msg);
    } else {
        sl_spec_pin(l, path, item->loc, text, sha256);
        load_text(l, path, text);
    }
}

static void load_includes(struct spec_loader *l, const struct sl_yaml_node *root)
{
    const struct sl_yaml_node *list = sl_yaml_get(root, "include");
    if (list == NULL || list->type != SL_YAML_SEQ || list->seq.n > SL_SPEC_INCLUDES_MAX) {
        return;
    }
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct sl_yaml_node *item = list->seq.items[i];
        const struct sl_yaml_node *sha256 = sl_yaml_get(item, "sha256");
        item = item->type == SL_YAML_MAP ? sl_yaml_get(item, "file") : item;
        if (item != NULL && item->type == SL_YAML_STR && item->text.len > 0 &&
            item->text.ptr[0] != '/') {
            include_file(l, item, sha256);
        }
    }
}

/* ---- documents -------------------------------------------------------------------------------- */

static const struct object *object_of_kind(struct spec_loader *l, const struct sl_yaml_node *root)
{
    static const char *const kinds[] = {"Pipeline", "Project", "Target"};
    static const struct object *const objects[] = {&sl_spec_pipeline_object,
                                                   &sl_spec_project_object, &sl_spec_target_object};
    const struct sl_yaml_node *kind = sl_yaml_get(root, "kind");
    if (kind == NULL) {
        spec_error(l, root->loc, "missing key 'kind'; give 'Pipeline', 'Project' or 'Target'");
        return NULL;
    }
    bool is_text = kind->type == SL_YAML_STR;
    for (size_t i = 0; is_text && i < SL_LEN(kinds); i++) {
        if (sl_streq(kind->text.ptr, kinds[i])) {
            return objects[i];
        }
    }
    spec_error(l, sl_yaml_pair(root, "kind")->key_loc,
               "'kind' must be 'Pipeline', 'Project' or 'Target', found %s%s%.60s%s%s",
               sl_yaml_type_name(kind->type), is_text ? " '" : "", is_text ? kind->text.ptr : "",
               is_text ? "'" : "",
               is_text ? sl_spec_suggest(l, kind->text.ptr, kinds, SL_LEN(kinds)) : "");
    return NULL;
}

static void keep_doc(struct spec_loader *l, struct spec_doc *list, size_t *n, struct spec_doc doc)
{
    if (*n == SPEC_DOCS_MAX) {
        spec_error(l, doc.root->loc, "more than %d documents of one kind", SPEC_DOCS_MAX);
        return;
    }
    list[(*n)++] = doc;
}

static void load_doc(struct spec_loader *l, const struct sl_yaml *y,
                     const struct sl_yaml_node *root, bool *has_pipeline)
{
    if (root->type == SL_YAML_NULL) {
        return; /* "---" before nothing */
    }
    if (root->type != SL_YAML_MAP) {
        spec_error(l, root->loc,
                   "a document must be a mapping with 'apiVersion' and 'kind', found %s",
                   sl_yaml_type_name(root->type));
        return;
    }
    const struct object *object = object_of_kind(l, root);
    struct spec_doc doc = {.y = y, .root = root};
    if (object == &sl_spec_pipeline_object) {
        if (*has_pipeline) {
            spec_error(l, root->loc, "second Pipeline in one file; give it a file of its own");
            return;
        }
        *has_pipeline = true;
        sl_spec_check(l, y, root, object, "the pipeline");
        load_includes(l, root);
        keep_doc(l, l->pipelines, &l->n_pipelines, doc);
    } else if (object == &sl_spec_target_object) {
        sl_spec_check(l, y, root, object, "the target");
        keep_doc(l, l->targets, &l->n_targets, doc);
    } else if (object != NULL) {
        struct sl_project project;
        sl_spec_check(l, y, root, object, "the project");
        sl_spec_build_project(l, &doc, &project);
        if (l->project == NULL) {
            l->project = sl_arena_memdup(l->arena, &project, sizeof(project));
        } else if (l->wants_project) {
            spec_error(l, root->loc, "second Project in one file; give it a file of its own");
        }
    }
}

static void load_text(struct spec_loader *l, const char *path, struct sl_str text)
{
    bool has_pipeline = false;
    size_t file = l->n_files++;
    l->files[file] = (struct spec_file){.path = path, .text = text};
    size_t errors = l->diags->n_errors;
    if (sl_yaml_parse(path, text, l->arena, l->diags, &l->files[file].y) != 0) {
        l->is_broken = true;
        return;
    }
    l->stack[l->depth++] = file;
    const struct sl_yaml *y = l->files[file].y;
    for (size_t i = 0; i < y->n_docs; i++) {
        load_doc(l, y, y->docs[i], &has_pipeline);
    }
    l->depth--;
    bool is_main = l->depth == 0 && !l->wants_project;
    if (is_main && !has_pipeline && errors == l->diags->n_errors &&
        (!l->source->any_kind || y->n_docs == 0)) {
        spec_error(l, file_loc(path), "%s",
                   y->n_docs == 0 ? "file is empty"
                                  : "no document with 'kind: Pipeline' in this file");
    }
    l->has_main = l->has_main || (is_main && has_pipeline);
}

/* ---- entry ------------------------------------------------------------------------------------ */

static void loader_release(struct spec_loader *l)
{
    sl_vec_free(&l->steps);
    sl_vec_free(&l->step_nodes);
    sl_vec_free(&l->params);
    sl_vec_free(&l->uses);
    sl_vec_free(&l->names);
    sl_vec_free(&l->edges);
    sl_vec_free(&l->reported);
    sl_vec_free(&l->subs);
    sl_vec_free(&l->pins);
    free(l->by_name);
    free(l);
}

/* Appends a file unless it is there already. */
static void record_file(struct sl_spec *spec, struct sl_str name, struct sl_str text)
{
    for (size_t i = 0; i < spec->n_files; i++) {
        if (sl_streq(spec->files[i].ptr, name.ptr)) {
            return;
        }
    }
    spec->files[spec->n_files] = name;
    spec->texts[spec->n_files++] = text;
}

/* The files of this loader and those of its sub-pipelines; the same for pins. */
static void record_files(struct spec_loader *l)
{
    struct sl_spec *spec = l->spec;
    size_t n = l->n_files, n_pins = l->pins.n;
    for (size_t i = 0; i < l->subs.n; i++) {
        n += l->subs.items[i].inner->n_files;
        n_pins += l->subs.items[i].inner->n_includes;
    }
    struct sl_include_pin *pins = SL_ARENA_ARRAY(l->arena, struct sl_include_pin, n_pins + 1);
    spec->files = SL_ARENA_ARRAY(l->arena, struct sl_str, n + 1);
    spec->texts = SL_ARENA_ARRAY(l->arena, struct sl_str, n + 1);
    spec->includes = pins;
    for (size_t i = 0; i < l->n_files; i++) {
        record_file(spec, sl_str_c(l->files[i].path), l->files[i].text);
    }
    for (size_t i = 0; i < l->pins.n; i++) {
        pins[spec->n_includes++] = l->pins.items[i];
    }
    for (size_t i = 0; i < l->subs.n; i++) {
        const struct sl_spec *inner = l->subs.items[i].inner;
        for (size_t k = 0; k < inner->n_files; k++) {
            record_file(spec, inner->files[k], inner->texts[k]);
        }
        for (size_t k = 0; k < inner->n_includes; k++) {
            pins[spec->n_includes++] = inner->includes[k];
        }
    }
}

int sl_project_load(const struct sl_spec_source *source, struct sl_arena *a, struct sl_diags *diags,
                    const struct sl_project **ret)
{
    struct spec_loader *l = sl_calloc(1, sizeof(*l));
    size_t errors = diags->n_errors;
    l->source = source;
    l->arena = a;
    l->diags = diags;
    l->wants_project = true;
    load_text(l, sl_arena_strdup(a, source->file), source->text);
    if (l->project == NULL && diags->n_errors == errors) {
        spec_error(l, file_loc(source->file), "no document with 'kind: Project' in this file");
    }
    const struct sl_project *project = l->project;
    loader_release(l);
    sl_diags_sort(diags);
    if (diags->n_errors > errors) {
        return -SL_EINVAL;
    }
    *ret = project;
    return 0;
}

static struct spec_loader *loader_new(const struct sl_spec_source *source, struct sl_arena *a,
                                      struct sl_diags *diags)
{
    struct spec_loader *l = sl_calloc(1, sizeof(*l)); /* too large for a stack */
    l->source = source;
    l->arena = a;
    l->diags = diags;
    l->spec = SL_ARENA_NEW(a, struct sl_spec);
    l->spec->file = sl_arena_strdup(a, source->file);
    return l;
}

/* Frees the loader. NULL when there were errors. */
static struct sl_spec *load_with(struct spec_loader *l)
{
    size_t errors = l->diags->n_errors;
    load_text(l, l->spec->file, l->source->text);
    if (!l->is_broken) { /* names of a file that cannot be read would all be "unknown" */
        sl_spec_build(l);
        sl_spec_check_refs(l);
        sl_spec_check_cycles(l);
        sl_spec_check_rules(l);
        sl_spec_expand_subs(l);
    }
    record_files(l);
    struct sl_spec *spec = l->diags->n_errors > errors ? NULL : l->spec;
    loader_release(l);
    return spec;
}

struct sl_spec *sl_spec_load_inner(struct spec_loader *parent, const struct sl_step *outer,
                                   const struct sl_spec_source *source)
{
    struct spec_loader *l = loader_new(source, parent->arena, parent->diags);
    l->parent = parent;
    l->outer = outer;
    return load_with(l);
}

int sl_spec_load(const struct sl_spec_source *source, struct sl_arena *a, struct sl_diags *diags,
                 const struct sl_spec **ret)
{
    const struct sl_spec *spec = load_with(loader_new(source, a, diags));
    sl_diags_sort(diags);
    if (spec == NULL) {
        return -SL_EINVAL;
    }
    *ret = spec;
    return 0;
}

const struct sl_step *sl_spec_step(const struct sl_spec *spec, const char *id)
{
    for (size_t i = 0; i < spec->n_steps; i++) {
        if (sl_streq(spec->steps[i].id, id)) {
            return &spec->steps[i];
        }
    }
    return NULL;
}

const struct sl_target *sl_spec_target(const struct sl_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_targets; i++) {
        if (sl_streq(spec->targets[i].name, name)) {
            return &spec->targets[i];
        }
    }
    return NULL;
}

const char *sl_action_name(enum sl_action action)
{
    switch (action) {
    case SL_ACT_RUN: return "run";
    case SL_ACT_COMMAND: return "command";
    case SL_ACT_GATE: return "gate";
    case SL_ACT_DEPLOY: return "deploy";
    case SL_ACT_ROLLBACK: return "rollback";
    case SL_ACT_APPROVAL: return "approval";
    case SL_ACT_NOTIFY: return "notify";
    case SL_ACT_UNSUPPORTED: return "unsupported";
    }
    return "?";
}
