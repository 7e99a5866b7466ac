/**
 * The world of rig.h.
 */
#include "core/base/base.h"

#include "tests/unit/pipelines/deploy/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/audit/audit.h"
#include "core/base/fs.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "tests/support/sl_test.h"

static const struct sl_schema *const schemas[] = {
    &sl_audit_schema, &sl_bus_schema, &sl_lineage_schema, &sl_steps_schema, &sl_deploy_schema};

static int world_write(void *data, sl_promote_tx_fn fn, void *arg, struct sl_err *err)
{
    struct rig *r = data;
    return sl_db_tx(r->db, fn, arg, err);
}

static char *alias_path(const struct rig *r, const char *alias)
{
    return sl_asprintf("%s/alias-%s", r->dir, alias);
}

static int world_get(void *data, const char *entity, const char *alias, struct sl_alias_holder *ret,
                     struct sl_err *err)
{
    struct rig *r = data;
    struct sl_buf text = SL_BUF_INIT(1000);
    _cleanup_(free)
    char *path = alias_path(r, alias);
    SL_CHECK_EQ_STR(entity, MODEL);
    *ret = (struct sl_alias_holder){0};
    int rc = sl_read_file_at(AT_FDCWD, path, 1000, &text, err);
    if (rc == 0 && text.len > 0) {
        char *rest = NULL;
        ret->exists = true;
        ret->number = strtoll(sl_buf_str(&text), &rest, 10);
        SL_CHECK(sl_digest_parse(rest + 1, &ret->digest));
    }
    sl_buf_release(&text);
    return rc == -SL_ENOTFOUND ? 0 : rc;
}

static int world_cas(void *data, const char *entity, const char *alias,
                     const struct sl_alias_holder *from, const struct sl_alias_holder *to,
                     struct sl_err *err)
{
    struct rig *r = data;
    struct sl_alias_holder now;
    char hex[SL_DIGEST_HEX + 1];
    int rc = world_get(r, entity, alias, &now, err);
    if (rc < 0) {
        return rc;
    }
    if (now.exists != from->exists || !sl_digest_eq(&now.digest, &from->digest)) {
        return sl_err_set(err, SL_ECONFLICT, "%s@%s is v%lld now", entity, alias,
                          (long long)now.number);
    }
    _cleanup_(free)
    char *path = alias_path(r, alias);
    _cleanup_(free)
    char *text =
        to->exists ? sl_asprintf("%lld %s", (long long)to->number, sl_digest_hex(&to->digest, hex))
                   : sl_strdup("");
    return sl_publish_file_at(AT_FDCWD, path, text, strlen(text), 0644, false, err);
}

static int world_materialise(void *data, const struct sl_artifact *v, int dirfd, struct sl_err *err)
{
    const struct rig *r = data;
    char number[32];
    (void)snprintf(number, sizeof(number), "%lld", (long long)v->version);
    int rc = sl_mkdirs_at(dirfd, "sub/dir", 0755, err);
    if (rc == 0) {
        rc = sl_publish_file_at(dirfd, "number", number, strlen(number), 0644, false, err);
    }
    if (rc == 0 && r->bad_content) {
        return sl_err_set(err, SL_ECORRUPT, "sub/dir/weights: digest differs");
    }
    return rc < 0 ? rc : sl_publish_file_at(dirfd, "sub/dir/weights", "0123", 4, 0644, false, err);
}

void rig_open(struct rig *r, const char *dir)
{
    *r = (struct rig){.dir = sl_strdup(dir), .path = sl_asprintf("%s/srv/churn", dir)};
    _cleanup_(free)
    char *db = sl_asprintf("%s/sluice.db", dir);
    SL_CHECK_OK(sl_db_open(db, SL_DB_RW, &r->db, &r->err), r->err);
    SL_CHECK_OK(sl_db_migrate(r->db, schemas, SL_LEN(schemas), &r->err), r->err);
    r->w = (struct sl_deploy_world){.promote = {.write = world_write,
                                                .alias_get = world_get,
                                                .alias_cas = world_cas,
                                                .data = r},
                                    .materialise = world_materialise,
                                    .data = r};
    r->target = (struct sl_target){.name = "churn-api",
                                   .type = "directory",
                                   .path = r->path,
                                   .keep = 2,
                                   .is_protected = true,
                                   .timeout_ms = 20000,
                                   .health_retries = 0,
                                   .health_interval_ms = 0};
}

void rig_close(struct rig *r)
{
    sl_db_close(r->db);
    free(r->dir);
    free(r->path);
}

struct sl_artifact version_of(int64_t number)
{
    struct sl_artifact v = {.entity = SL_ENT_MODEL, .name = MODEL, .version = number};
    sl_sha256(&number, sizeof(number), &v.digest);
    return v;
}

struct judging {
    struct sl_verdict v;
};

static int judged_tx(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_verdict_record(db, arg, err);
}

void judged(struct rig *r, int64_t number, int64_t against, enum sl_verdict_result result)
{
    json_auto_t *detail = json_pack("{s:s}", "summary",
                                    result == SL_VERDICT_PASS ? "passed: 1 of 1 rules"
                                                              : "refused: 1 of 1 rules failed");
    struct sl_verdict v = {.candidate_entity = MODEL,
                           .candidate_number = number,
                           .candidate_digest = version_of(number).digest,
                           .champion_entity = MODEL,
                           .champion_alias = "champion",
                           .has_champion = against > 0,
                           .champion_digest = version_of(against).digest,
                           .result = result,
                           .detail = detail,
                           .actor = "engine",
                           .created_ms = 1000};
    sl_sha256("rules", 5, &v.rules_digest);
    (void)sl_id_new(NULL, v.id);
    SL_CHECK_OK(sl_db_tx(r->db, judged_tx, &v, &r->err), r->err);
}

struct sl_deploy_order order_for(struct rig *r, int64_t number)
{
    return (struct sl_deploy_order){
        .target = &r->target, .version = version_of(number), .alias = "champion", .actor = "ann"};
}

void deploy_good(struct rig *r, int64_t number, int64_t against)
{
    struct sl_deploy_outcome out;
    judged(r, number, against, SL_VERDICT_PASS);
    struct sl_deploy_order o = order_for(r, number);
    SL_CHECK_OK(sl_deploy_run(&r->w, &o, &out, &r->err), r->err);
    SL_CHECK_EQ_INT(out.result, SL_DEPLOY_DONE);
    SL_CHECK_EQ_INT(out.version.version, number);
    SL_CHECK_EQ_INT(serving(r), number);
    SL_CHECK_EQ_INT(champion(r), number);
}

int64_t serving(struct rig *r)
{
    char link[256];
    _cleanup_(free)
    char *current = sl_asprintf("%s/current", r->path);
    _cleanup_(free)
    char *number = sl_asprintf("%s/current/number", r->path);
    _cleanup_(free)
    char *weights = sl_asprintf("%s/current/sub/dir/weights", r->path);
    if (readlink(current, link, sizeof(link)) < 0) {
        return 0;
    }
    SL_CHECK_MSG(sl_test_exists(weights), "current dangles or is not whole");
    _cleanup_(free)
    char *text = sl_test_read(number, NULL);
    return strtoll(text, NULL, 10);
}

int64_t champion(struct rig *r)
{
    struct sl_alias_holder h;
    SL_CHECK_OK(world_get(r, MODEL, "champion", &h, &r->err), r->err);
    return h.exists ? h.number : 0;
}

char *newest_state(struct rig *r)
{
    char *text = NULL;
    SL_CHECK_OK(sl_db_get_text(r->db, &text, &r->err,
                               SL_SQL("SELECT state FROM deployment ORDER BY seq DESC LIMIT ?"),
                               "i", 1),
                r->err);
    return text;
}

static int64_t count_releases(const struct rig *r)
{
    int64_t n = 0;
    _cleanup_(free)
    char *path = sl_asprintf("%s/releases", r->path);
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        n += e->d_name[0] != '.';
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return n;
}

int64_t count(struct rig *r, const char *what)
{
    int64_t n = 0;
    int rc = 0;
    if (sl_streq(what, "releases")) {
        return count_releases(r);
    }
    if (sl_streq(what, "promotions")) {
        rc = sl_db_get_i64(r->db, &n, &r->err,
                           SL_SQL("SELECT count(*) FROM promotion WHERE state = ?"), "s", "done");
    } else if (sl_streq(what, "open promotions")) {
        rc = sl_db_get_i64(r->db, &n, &r->err,
                           SL_SQL("SELECT count(*) FROM promotion WHERE state = ?"), "s", "intent");
    } else if (sl_streq(what, "deployments")) {
        rc = sl_db_get_i64(r->db, &n, &r->err,
                           SL_SQL("SELECT count(*) FROM deployment WHERE 1 = ?"), "i", 1);
    } else if (sl_streq(what, "overrides")) {
        rc =
            sl_db_get_i64(r->db, &n, &r->err,
                          SL_SQL("SELECT count(*) FROM verdict WHERE result = ?"), "s", "override");
    } else {
        SL_FAIL("count of %s", what);
    }
    SL_CHECK_OK(rc, r->err);
    return n;
}
