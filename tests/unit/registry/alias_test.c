/** Aliases: compare-and-swap, refusals, history. */
#include "core/base/base.h"

#include "tests/unit/registry/rig.h"

static struct sl_alias_move move_to(const struct sl_version_ref *to,
                                    const struct sl_version_ref *expected)
{
    return (struct sl_alias_move){.kind = SL_KIND_MODEL,
                                  .name = "m",
                                  .alias = "champion",
                                  .to = to,
                                  .expected = expected,
                                  .mode = SL_ALIAS_EXPECT,
                                  .when_ms = 1700000000000};
}

SL_TEST(registry_alias, move__expected_state__only_then)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    struct sl_version_ref v2 = rig_commit(&r, "m", "two");
    struct sl_version_ref found;
    struct sl_alias_move move = move_to(&v1, &v2);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_ECONFLICT, r.err,
                 "alias 'm@champion' is at nothing, not at v2");
    move = move_to(&v1, NULL);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err); /* a replay */
    move = move_to(&v2, NULL);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_ECONFLICT, r.err,
                 "is at v1, not at nothing");
    move = move_to(&v2, &v1);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    SL_CHECK_OK(sl_registry_resolve(r.reg, SL_KIND_MODEL, "m@champion", &found, &r.err), r.err);
    SL_CHECK_EQ_INT(found.number, 2);
    move = move_to(NULL, &v1);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_ECONFLICT, r.err, "is at v2");
    move = move_to(NULL, &v2);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_ENOTFOUND, r.err,
                 "has no alias 'champion'");
    SL_CHECK_ERR(sl_registry_resolve(r.reg, SL_KIND_MODEL, "m@champion", &found, &r.err),
                 SL_ENOTFOUND, r.err, "no alias");
    rig_close(&r);
}

SL_TEST(registry_alias, move__version_of_another_entity_or_forged__refused)
{
    struct rig r = rig_open();
    struct sl_version_ref mine = rig_commit(&r, "m", "one");
    struct sl_version_ref other = rig_commit(&r, "other", "two");
    struct sl_alias_move move = move_to(&other, NULL);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_EINVAL, r.err,
                 "cannot point at a version of 'other'");
    memcpy(mine.commit, other.commit, sizeof(mine.commit));
    move = move_to(&mine, NULL);
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_ENOTFOUND, r.err,
                 "has no such v1");
    move = move_to(&other, NULL);
    move.alias = "latest";
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_EINVAL, r.err, "reserved");
    move.alias = "a";
    move.reason = "two\nlines";
    SL_CHECK_ERR(sl_registry_alias_move(r.reg, &move, &r.err), SL_EINVAL, r.err, "single line");
    rig_close(&r);
}

static int note(const struct sl_alias_event *e, void *data, struct sl_err *err)
{
    (void)err;
    sl_buf_printf(
        data, "%s:%lld>%lld:%s ", e->alias, e->from != NULL ? (long long)e->from->number : 0LL,
        e->to != NULL ? (long long)e->to->number : 0LL, e->reason != NULL ? e->reason : "-");
    SL_CHECK_EQ_INT(e->when_ms, 1700000000000);
    return 0;
}

static int note_alias(const char *alias, const struct sl_version_ref *v, void *data,
                      struct sl_err *err)
{
    (void)err;
    sl_buf_printf(data, "%s=%lld ", alias, (long long)v->number);
    return 0;
}

SL_TEST(registry_alias, history__moves_of_several__newest_first_with_reasons)
{
    struct rig r = rig_open();
    struct sl_version_ref v1 = rig_commit(&r, "m", "one");
    struct sl_version_ref v2 = rig_commit(&r, "m", "two");
    struct sl_buf out = SL_BUF_INIT(1000);
    struct sl_alias_move move = move_to(&v1, NULL);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    move = move_to(&v2, &v1);
    move.reason = "move refs/x: better";
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    move = move_to(&v1, NULL);
    move.alias = "a";
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    SL_CHECK_OK(sl_registry_aliases(r.reg, SL_KIND_MODEL, "m", note_alias, &out, &r.err), r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&out), "a=1 champion=2 ");
    sl_buf_clear(&out);
    move = move_to(NULL, &v2);
    SL_CHECK_OK(sl_registry_alias_move(r.reg, &move, &r.err), r.err);
    SL_CHECK_OK(
        sl_registry_alias_history(r.reg, SL_KIND_MODEL, "m", "champion", note, &out, &r.err),
        r.err);
    SL_CHECK_EQ_STR(sl_buf_str(&out),
                    "champion:2>0:- champion:1>2:move refs/x: better champion:0>1:- ");
    sl_buf_release(&out);
    rig_close(&r);
}
