/**
 * The verdict store: what gates decided, bound to candidate, champion, dataset and rules by digest.
 *
 * A verdict is never changed; an override is a further row with a reason and a name on it.
 * Thread: the caller's database thread; every writing call belongs inside the caller's transaction.
 * Lineage: versions are nodes with the id "sha256:<hex>", verdicts with their own id.
 */
#ifndef SL_VERDICT_H
#define SL_VERDICT_H

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/time.h"
#include "core/db/db.h"

#define SL_VERDICT_REASON_MAX 1000 /* bytes of an override's reason */
#define SL_VERDICT_DETAIL_MAX (4u * 1024 * 1024)

extern const struct sl_schema sl_steps_schema; /* tables verdict, protected_alias, promotion */

enum sl_verdict_result { SL_VERDICT_PASS, SL_VERDICT_REFUSE, SL_VERDICT_OVERRIDE };
const char *sl_verdict_result_name(
    enum sl_verdict_result result); /* "pass", "refuse", "override" */

struct sl_verdict {
    char id[SL_ID_HEX + 1];
    const char *run_id, *step_key; /* NULL for an override given outside a run */
    const char *candidate_entity;  /* "default/churn" */
    int64_t candidate_number;      /* vN */
    struct sl_digest candidate_digest;
    const char *champion_entity, *champion_alias; /* NULL: compared with nothing */
    bool has_champion;                            /* the alias had a holder */
    struct sl_digest champion_digest;
    const char *dataset_name; /* NULL without a dataset */
    struct sl_digest dataset_digest;
    struct sl_digest rules_digest;
    enum sl_verdict_result result;
    const json_t *detail; /* sl_gate_json's value; borrowed; NULL for a bare override */
    const char *override_reason, *override_by; /* set exactly when result is override */
    const char *overrides;                     /* id of the refused verdict, or NULL */
    const char *actor; /* who ran the gate; with an override, equals override_by */
    int64_t created_ms;
};

/**
 * Stores a verdict with its audit entry, lineage (candidate evaluated on dataset, governed by the verdict)
 * and the event gate.verdict, all in the caller's transaction. Storing the same id again is no change.
 *
 * @return 0, -SL_EINVAL (override without reason or name, reason too long), or the database's error
 */
int sl_verdict_record(struct sl_db *db, const struct sl_verdict *v, struct sl_err *err)
    SL_MUST_CHECK;

/**
 * Records that somebody lets a version through without a passing verdict: a verdict row of its own with
 * result override, audit entry gate.override, and lineage to the person. In the caller's transaction.
 * The latest verdict on the digest, if any, is named as the one that is overridden.
 *
 * @return 0 with the new row's id, -SL_EINVAL without a reason or over SL_VERDICT_REASON_MAX
 */
struct sl_override {
    const char *entity; /* "default/churn" */
    int64_t number;
    struct sl_digest digest;
    const char *reason, *actor, *run_id; /* run_id may be NULL */
    int64_t now_ms;
    const struct sl_env *env; /* for the id; NULL: the real one */
};
int sl_verdict_override(struct sl_db *db, const struct sl_override *o, char ret_id[SL_ID_HEX + 1],
                        struct sl_err *err) SL_MUST_CHECK;

/** What a mover of aliases and targets needs to know about a digest. */
struct sl_verdict_found {
    char id[SL_ID_HEX + 1];
    enum sl_verdict_result result;
    char champion_entity[256], champion_alias[256]; /* "" when compared with nothing */
    bool has_champion;
    struct sl_digest champion_digest;
    int64_t created_ms;
};

/**
 * The latest verdict on this digest for this entity: a later refusal withdraws an earlier pass.
 *
 * @return 0, or -SL_EREFUSED with a sentence that says why it does not permit (never judged, or refused
 *         with the summary), or the database's error
 */
int sl_verdict_permit(struct sl_db *db, const char *entity, const struct sl_digest *candidate,
                      struct sl_verdict_found *ret, struct sl_err *err) SL_MUST_CHECK;

/** One verdict as JSON (all columns; "detail" expanded). -SL_ENOTFOUND. New reference. */
int sl_verdict_get(struct sl_db *db, const char *id, json_t **ret, struct sl_err *err)
    SL_MUST_CHECK;
/** All verdicts of a run, oldest first, as an array of the same objects. New reference. */
int sl_verdict_list(struct sl_db *db, const char *run_id, json_t **ret, struct sl_err *err)
    SL_MUST_CHECK;

#endif
