/**
 * Promotion, protection and the verdict store, against aliases in memory.
 */
#include "core/base/base.h"

#include "pipelines/steps/promote.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/audit/audit.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "core/lineage/lineage.h"
#include "pipelines/steps/verdict.h"
#include "tests/support/sl_test.h"

#define MODEL "default/churn"

static const struct sl_schema *const schemas[] = {&sl_audit_schema, &sl_bus_schema,
                                                  &sl_lineage_schema, &sl_steps_schema};

struct world {
    char *dir;
    struct sl_db *db;
    struct sl_promote_world w;
    struct sl_alias_holder now; /* of every alias */
    int cas_result; /* forced result; the alias moves all the same when `moves_anyway` */
    bool moves_anyway;
    struct sl_err err;
};

static int do_write(void *data, sl_promote_tx_fn fn, void *arg, struct sl_err *err)
{
    return sl_db_tx(((struct world *)data)->db, fn, arg, err);
}

static int do_get(void *data, const char *entity, const char *alias, struct sl_alias_holder *ret,
                  struct sl_err *err)
{
    (void)entity;
    (void)alias;
    (void)err;
    *ret = ((struct world *)data)->now;
    return 0;
}

static int do_cas(void *data, const char *entity, const char *alias,
                  const struct sl_alias_holder *from, const struct sl_alias_holder *to,
                  struct sl_err *err)
{
    struct world *w = data;
    SL_CHECK_EQ_INT(w->now.exists, from->exists);
    if (w->cas_result == 0 || w->moves_anyway) {
        w->now = *to;
    }
    return w->cas_result == 0
               ? 0
               : sl_err_set(err, -w->cas_result, "%s@%s would not move", entity, alias);
}

static struct world *world_new(void)
{
    struct world *w = SL_NEW(struct world);
    w->dir = sl_test_tmpdir();
    _cleanup_(free)
    char *path = sl_test_path(w->dir, "sluice.db");
    SL_CHECK_OK(sl_db_open(path, SL_DB_RW, &w->db, &w->err), w->err);
    SL_CHECK_OK(sl_db_migrate(w->db, schemas, SL_LEN(schemas), &w->err), w->err);
    w->w = (struct sl_promote_world){
        .write = do_write, .alias_get = do_get, .alias_cas = do_cas, .data = w};
    return w;
}

static void world_free(struct world *w)
{
    sl_db_close(w->db);
    sl_test_rmdir(w->dir);
    free(w);
}

static struct sl_alias_holder holder(int64_t number)
{
    struct sl_alias_holder h = {.exists = true, .number = number};
    sl_sha256(&number, sizeof(number), &h.digest);
    return h;
}

static int record(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_verdict_record(db, arg, err);
}

static struct sl_verdict passing(int64_t number)
{
    struct sl_verdict v = {.candidate_entity = MODEL,
                           .candidate_number = number,
                           .candidate_digest = holder(number).digest,
                           .result = SL_VERDICT_PASS,
                           .run_id = "0123456789abcdef0123456789abcdef",
                           .step_key = "gate",
                           .actor = "engine",
                           .created_ms = 5};
    (void)sl_id_new(NULL, v.id);
    sl_sha256("rules", 5, &v.rules_digest);
    return v;
}

static struct sl_promotion to_champion(int64_t number)
{
    return (struct sl_promotion){
        .entity = MODEL, .alias = "champion", .to = holder(number), .actor = "ann"};
}

static int64_t count(struct world *w, const char *state)
{
    int64_t n = 0;
    SL_CHECK_OK(sl_db_get_i64(w->db, &n, &w->err,
                              SL_SQL("SELECT count(*) FROM promotion WHERE state = ?"), "s", state),
                w->err);
    return n;
}

SL_TEST(steps_promote, alias__protected_without_verdict__is_refused)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_EREFUSED, w->err,
                 "no gate has judged default/churn");
    p.alias = "staging";
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK_EQ_STR(out.verdict_id, "");
    SL_CHECK_EQ_INT(count(w, "done"), 1);
    world_free(w);
}

SL_TEST(steps_promote, alias__override__needs_reason_and_is_recorded)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    p.authority = SL_AUTHORITY_OVERRIDE;
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_EINVAL, w->err, "needs a reason");
    char *reason = sl_calloc(1, SL_PROMOTE_REASON_MAX + 2);
    (void)memset(reason, 'x', SL_PROMOTE_REASON_MAX + 1);
    p.reason = reason;
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_ELIMIT, w->err, "1000 bytes");
    reason[SL_PROMOTE_REASON_MAX] = '\0';
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    json_t *v = NULL;
    SL_CHECK_OK(sl_verdict_get(w->db, out.verdict_id, &v, &w->err), w->err);
    SL_CHECK_EQ_STR(sl_json_str(v, "result", ""), "override");
    SL_CHECK_EQ_STR(sl_json_str(v, "override_reason", ""), reason);
    SL_CHECK(sl_starts_with(sl_json_str(v, "override_by", ""), "p_"));
    json_decref(v);
    free(reason);
    world_free(w);
}

SL_TEST(steps_promote, alias__rollback__only_to_where_it_was)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    struct sl_verdict one = passing(1), two = passing(2);
    SL_CHECK_OK(sl_db_tx(w->db, record, &one, &w->err), w->err);
    SL_CHECK_OK(sl_db_tx(w->db, record, &two, &w->err), w->err);
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK_EQ_STR(out.verdict_id, one.id);
    p = to_champion(2);
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    p = to_champion(3);
    p.authority = SL_AUTHORITY_ROLLBACK;
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_EREFUSED, w->err,
                 "never pointed to v3");
    p = to_champion(1);
    p.authority = SL_AUTHORITY_ROLLBACK;
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK(out.unchanged);
    world_free(w);
}

SL_TEST(steps_promote, alias__deleting_a_protected_one__needs_an_override)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    w->now = holder(1);
    p.to.exists = false;
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_EREFUSED, w->err, "override");
    p.authority = SL_AUTHORITY_OVERRIDE;
    p.reason = "retired";
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK(!w->now.exists);
    world_free(w);
}

static int mark(struct sl_db *db, void *arg, struct sl_err *err)
{
    return sl_alias_protect(db, arg, err);
}

SL_TEST(steps_promote, protection__entity_mark__wins_over_the_general_one)
{
    struct world *w = world_new();
    bool is = false;
    struct sl_alias_mark m = {.entity = MODEL, .alias = "champion", .actor = "ann", .now_ms = 1};
    SL_CHECK_OK(sl_alias_is_protected(w->db, MODEL, "champion", &is, &w->err), w->err);
    SL_CHECK(is);
    SL_CHECK_OK(sl_db_tx(w->db, mark, &m, &w->err), w->err);
    SL_CHECK_OK(sl_alias_is_protected(w->db, MODEL, "champion", &is, &w->err), w->err);
    SL_CHECK(!is);
    SL_CHECK_OK(sl_alias_is_protected(w->db, "default/other", "champion", &is, &w->err), w->err);
    SL_CHECK(is);
    SL_CHECK_OK(sl_alias_is_protected(w->db, MODEL, "staging", &is, &w->err), w->err);
    SL_CHECK(!is);
    world_free(w);
}

SL_TEST(steps_promote, alias__lost_swap__is_recorded_as_failed)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    p.alias = "staging";
    w->cas_result = -SL_ECONFLICT;
    SL_CHECK_ERR(sl_promote_alias(&w->w, &p, &out, &w->err), SL_ECONFLICT, w->err,
                 "would not move");
    SL_CHECK_EQ_INT(count(w, "failed"), 1);
    SL_CHECK_EQ_INT(count(w, "intent"), 0);
    world_free(w);
}

SL_TEST(steps_promote, alias__error_after_the_swap__counts_as_moved)
{
    struct world *w = world_new();
    struct sl_promoted out;
    struct sl_promotion p = to_champion(1);
    p.alias = "staging";
    w->cas_result = -SL_EIO;
    w->moves_anyway = true;
    SL_CHECK_OK(sl_promote_alias(&w->w, &p, &out, &w->err), w->err);
    SL_CHECK_EQ_INT(count(w, "done"), 1);
    world_free(w);
}

SL_TEST(steps_verdict, record__same_id_again__is_no_change)
{
    struct world *w = world_new();
    struct sl_verdict v = passing(1);
    uint64_t size = 0, again = 0;
    struct sl_digest root;
    SL_CHECK_OK(sl_db_tx(w->db, record, &v, &w->err), w->err);
    SL_CHECK_OK(sl_audit_root(w->db, &size, &root, &w->err), w->err);
    SL_CHECK_OK(sl_db_tx(w->db, record, &v, &w->err), w->err);
    SL_CHECK_OK(sl_audit_root(w->db, &again, &root, &w->err), w->err);
    SL_CHECK_EQ_UINT(size, 1);
    SL_CHECK_EQ_UINT(again, 1);
    json_t *list = NULL;
    SL_CHECK_OK(sl_verdict_list(w->db, v.run_id, &list, &w->err), w->err);
    SL_CHECK_EQ_INT(json_array_size(list), 1);
    json_decref(list);
    world_free(w);
}

SL_TEST(steps_verdict, change_or_remove__is_refused_by_the_database)
{
    struct world *w = world_new();
    struct sl_verdict v = passing(1);
    SL_CHECK_OK(sl_db_tx(w->db, record, &v, &w->err), w->err);
    SL_CHECK_ERR(sl_db_exec(w->db, &w->err, SL_SQL("UPDATE verdict SET result = ?"), "s", "refuse"),
                 SL_EREFUSED, w->err, "a verdict is never changed");
    SL_CHECK_ERR(sl_db_exec(w->db, &w->err, SL_SQL("DELETE FROM verdict WHERE 1 = ?"), "i", 1),
                 SL_EREFUSED, w->err, "a verdict is never removed");
    world_free(w);
}

SL_TEST(steps_verdict, record__override_without_reason_or_name__is_invalid)
{
    struct world *w = world_new();
    struct sl_verdict v = passing(1);
    v.result = SL_VERDICT_OVERRIDE;
    SL_CHECK_ERR(sl_db_tx(w->db, record, &v, &w->err), SL_EINVAL, w->err, "needs a reason");
    v.override_reason = "urgent";
    SL_CHECK_ERR(sl_db_tx(w->db, record, &v, &w->err), SL_EINVAL, w->err, "name of who gives it");
    world_free(w);
}
