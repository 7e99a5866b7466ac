/**
 * New git objects: gathered in memory, then made durable together, loose when few, as one pack when many.
 *
 * The pack holds exactly the gathered ids. (Dumping the memory backend instead would walk, and repack,
 * every tree that a new commit reaches.) Thread: one at a time per registry.
 */
#include "core/base/base.h"

#include "registry/registry_priv.h"

#include <stdlib.h>

#include <git2/sys/mempack.h>

#include "core/base/fault.h"

int registry_batch_add(struct sl_registry *r, struct registry_batch *b, git_object_t type,
                       struct sl_str bytes, git_oid *ret_id, struct sl_err *err)
{
    git_oid id;
    int code = git_odb_hash(&id, bytes.ptr, bytes.len, type);
    if (code != 0) {
        return registry_git_error(code, err, "cannot hash an object");
    }
    if (git_odb_exists_ext(r->odb, &id, GIT_ODB_LOOKUP_NO_REFRESH) == 0) {
        code = r->memory->write(r->memory, &id, bytes.ptr, bytes.len, type);
        if (code != 0) {
            return registry_git_error(code, err, "cannot keep an object");
        }
        sl_vec_push(&b->ids, id);
    }
    *ret_id = id;
    return 0;
}

static int write_loose(struct sl_registry *r, const struct registry_batch *b)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < b->ids.n; i++) {
        git_odb_object *object = NULL;
        git_oid written;
        code = git_odb_read(&object, r->odb, &b->ids.items[i]);
        if (code == 0) {
            code = git_odb_write(&written, r->disk, git_odb_object_data(object),
                                 git_odb_object_size(object), git_odb_object_type(object));
        }
        git_odb_object_free(object);
    }
    return code;
}

static int write_pack(struct sl_registry *r, const struct registry_batch *b)
{
    git_packbuilder *packer = NULL;
    int code = git_packbuilder_new(&packer, r->repo);
    for (size_t i = 0; code == 0 && i < b->ids.n; i++) {
        code = git_packbuilder_insert(packer, &b->ids.items[i], NULL);
    }
    if (code == 0) {
        code = git_packbuilder_write(packer, NULL, 0444, NULL, NULL);
    }
    git_packbuilder_free(packer);
    return code;
}

int registry_batch_flush(struct sl_registry *r, struct registry_batch *b, struct sl_err *err)
{
    int fault = SL_FAULT_POINT(REGISTRY_OBJECTS);
    if (fault != 0) {
        return sl_err_errno(err, fault, "cannot write git objects");
    }
    int code = b->ids.n <= LOOSE_MAX ? write_loose(r, b) : write_pack(r, b);
    if (code != 0) {
        return registry_git_error(code, err, "cannot write git objects");
    }
    code = git_mempack_reset(r->memory);
    b->ids.n = 0;
    code = code != 0 ? code : git_odb_refresh(r->odb);
    if (code != 0) {
        return registry_git_error(code, err, "cannot read git objects back");
    }
    fault = SL_FAULT_POINT(REGISTRY_OBJECTS_WRITTEN);
    return fault != 0 ? sl_err_errno(err, fault, "cannot write git objects") : 0;
}

void registry_batch_release(struct sl_registry *r, struct registry_batch *b)
{
    if (b->ids.n > 0) { /* given up: what was not written must not look present */
        (void)git_mempack_reset(r->memory);
    }
    sl_vec_free(&b->ids);
}

/* Names and addresses go into one header line each. */
static void add_person(struct sl_buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        sl_buf_putc(out, *p == '<' || *p == '>' || (unsigned char)*p < 0x20 ? '_' : *p);
    }
}

int registry_commit_add(struct sl_registry *r, struct registry_batch *b,
                        const struct registry_commit_text *text, git_oid *ret_id,
                        struct sl_err *err)
{
    const char *name = text->author.name;
    const char *email = text->author.email;
    struct sl_buf out = SL_BUF_INIT(COMMIT_TEXT_MAX);
    sl_buf_printf(&out, "tree %s\n", git_oid_tostr_s(&text->tree));
    if (text->parent != NULL) {
        sl_buf_printf(&out, "parent %s\n", git_oid_tostr_s(text->parent));
    }
    sl_buf_puts(&out, "author ");
    add_person(&out, name != NULL && name[0] != '\0' ? name : "sluice");
    sl_buf_puts(&out, " <");
    add_person(&out, email != NULL && email[0] != '\0' ? email : "sluice@localhost");
    sl_buf_printf(&out, "> %lld +0000\ncommitter sluice <sluice@localhost> %lld +0000\n\n%s",
                  (long long)(text->when_ms / 1000), (long long)(text->when_ms / 1000),
                  text->message);
    int rc = out.overflow
                 ? sl_err_set(err, SL_ELIMIT, "the commit is over the limit of %zu bytes",
                              COMMIT_TEXT_MAX)
                 : registry_batch_add(r, b, GIT_OBJECT_COMMIT,
                                      (struct sl_str){sl_buf_str(&out), out.len}, ret_id, err);
    sl_buf_release(&out);
    return rc;
}
