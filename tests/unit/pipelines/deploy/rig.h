/**
 * A world for tests of promotions and deployments: a database and aliases in files of one directory, so
 * that a killed process leaves behind what a real one would.
 */
#ifndef SL_DEPLOY_RIG_H
#define SL_DEPLOY_RIG_H

#include "core/base/mem.h"
#include "pipelines/deploy/deploy.h"
#include "pipelines/steps/verdict.h"

#define MODEL "default/churn"

struct rig {
    char *dir, *path; /* path: of the target */
    struct sl_db *db;
    struct sl_deploy_world w;
    struct sl_target target;
    struct sl_err err;
    bool bad_content; /* materialise fails half way */
};

/** Opens (and makes) the world in `dir`. */
void rig_open(struct rig *r, const char *dir);
void rig_close(struct rig *r);

struct sl_artifact version_of(int64_t number); /* of MODEL; content differs by number */
/** A verdict on version `number`, compared with champion `champion` (0: there was none). */
void judged(struct rig *r, int64_t number, int64_t champion, enum sl_verdict_result result);
/** An order for version `number` with alias champion. */
struct sl_deploy_order order_for(struct rig *r, int64_t number);
/** Judged, deployed, checked. */
void deploy_good(struct rig *r, int64_t number, int64_t champion);

/** Number that `current` serves, 0 when nothing; fails the test when it dangles. */
int64_t serving(struct rig *r);
/** Number that the champion alias points to, 0 none. */
int64_t champion(struct rig *r);
/** State text of the newest deployment. Caller frees. */
char *newest_state(struct rig *r);
int64_t count(struct rig *r,
              const char *what); /* "audit", "promotions", "open promotions", "releases" */

#endif
