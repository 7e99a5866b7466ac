/**
 * The workspace: a data directory, opened. Whoever holds its lock is the engine or a command that writes
 * for a moment; readers need no lock.
 *
 *     <data>/sluice.db  registry/<project>.git  blobs/  runs/  shim/  lock  sock
 *
 * Thread: any after opening; registries are used one at a time behind a mutex.
 */
#ifndef SL_WORKSPACE_H
#define SL_WORKSPACE_H

#include "core/blob/blob.h"
#include "core/db/writer.h"
#include "pipelines/plan/plan.h"
#include "registry/registry.h"

#define SL_DATA_DIR_NAME   ".sluice"
#define SL_DEFAULT_PROJECT "default"
#define SL_DB_NAME         "sluice.db"
#define SL_SOCK_NAME       "sock"
#define SL_WS_PROJECTS_MAX 1000

struct sl_workspace {
    char *path; /* absolute */
    int fd;     /* of the directory */
    int lock_fd;
    struct sl_blob_store *blobs;
    struct sl_db_writer *writer;
    char actor[128];    /* who works here: the login name */
    char principal[64]; /* the same as an opaque audit id */
    struct sl_ws_private *priv;
};

/**
 * Finds the data directory: `explicit_path` (from $SLUICE_DATA) when given, else the nearest .sluice
 * upwards from `start_dir`. -SL_ENOTFOUND with advice when there is none. Caller frees *ret_path.
 */
int sl_workspace_find(const char *explicit_path, const char *start_dir, char **ret_path,
                      struct sl_err *err) SL_MUST_CHECK;
/** Where a new one would be made: the top of the git work tree around start_dir, else start_dir. */
char *sl_workspace_default_path(const char *start_dir);
/** Creates what is missing. Existing content is kept. 0700. */
int sl_workspace_init(const char *path, struct sl_err *err) SL_MUST_CHECK;

struct sl_workspace_opts {
    void (*post)(void *data, struct sl_db_write *w); /* as in struct sl_db_writer_opts */
    void *post_data;
};
/**
 * Opens for writing: takes the lock, opens the content store, migrates and starts the database writer, and
 * completes what a crash left between git and the index.
 *
 * @return 0; -SL_EBUSY when another process holds the lock (its pid is in the message); -SL_ECORRUPT; ...
 * Owner: caller, sl_workspace_close.
 */
int sl_workspace_open(const char *path, const struct sl_workspace_opts *opts,
                      struct sl_workspace **ret, struct sl_err *err) SL_MUST_CHECK;
void sl_workspace_close(struct sl_workspace *ws); /* NULL allowed */
/** A read-only connection of its own. Caller closes. */
int sl_workspace_open_reader(const char *path, struct sl_db **ret, struct sl_err *err)
    SL_MUST_CHECK;
/** The content store alone: adding content needs no lock. Caller closes. */
int sl_workspace_open_blobs(const char *path, struct sl_blob_store **ret, struct sl_err *err)
    SL_MUST_CHECK;

/** Runs fn durably on the writer. Not from the writer thread. */
int sl_ws_write(struct sl_workspace *ws, sl_db_fn fn, void *arg, struct sl_err *err) SL_MUST_CHECK;

/** Splits "[project/]name[@...]": *ret_rest points behind the slash. `project` has SL_NAME_MAX + 1 bytes. */
int sl_ref_split(const char *text, char *project, const char **ret_rest, struct sl_err *err);

/** Borrows the registry of a project (opened on first use); give it back with sl_ws_registry_done.
 * Blocks while another thread has it. */
int sl_ws_registry(struct sl_workspace *ws, const char *project, struct sl_registry **ret,
                   struct sl_err *err) SL_MUST_CHECK;
void sl_ws_registry_done(struct sl_workspace *ws);
/** Projects that exist on disk. Calls fn for each name, sorted. */
int sl_ws_projects(int data_fd, int (*fn)(const char *project, void *data, struct sl_err *err),
                   void *data, struct sl_err *err) SL_MUST_CHECK;

/** One version to commit, as a step or a person made it. */
struct sl_ws_commit {
    enum sl_kind kind;
    const char *ref_name; /* "[project/]name" */
    const struct sl_manifest *manifest;
    const char *message;
    const struct sl_trailer *trailers;
    size_t n_trailers;
    const char *run_id, *attempt_id; /* NULL when a person did it */
    const json_t *attrs;             /* facts for lineage, or NULL */
};
/**
 * The whole order of effects: intent row, git commit, index and outcome rows with audit, lineage and event.
 * Idempotent. ret_full_name ("project/name") has SL_NAME_MAX * 2 + 2 bytes, NULL allowed.
 * Thread: a lane. Blocks: yes.
 */
int sl_ws_commit_version(struct sl_workspace *ws, const struct sl_ws_commit *c,
                         struct sl_version_ref *ret, bool *ret_created, char *ret_full_name,
                         struct sl_err *err) SL_MUST_CHECK;
/** Brings one project's index up to its ledger. */
int sl_ws_index(struct sl_workspace *ws, const char *project, struct sl_err *err) SL_MUST_CHECK;

/** Content of a manifest digest: every version's manifest is itself stored as content under its digest. */
int sl_ws_manifest(struct sl_blob_store *blobs, const struct sl_digest *digest,
                   struct sl_manifest *ret, struct sl_err *err) SL_MUST_CHECK;
int sl_ws_put_manifest(struct sl_blob_store *blobs, const struct sl_manifest *m, struct sl_err *err)
    SL_MUST_CHECK;

/** Registry reference to artifact by the index tables. Texts in `a`. Thread: of the connection. */
int sl_ws_resolve(struct sl_db *db, enum sl_entity entity, const char *ref, struct sl_arena *a,
                  struct sl_artifact *ret, struct sl_err *err) SL_MUST_CHECK;

enum sl_kind sl_entity_kind(enum sl_entity entity);
enum sl_entity sl_kind_entity(enum sl_kind kind);
const char *sl_entity_name(enum sl_entity entity); /* "dataset", "model", "artifact" */
/** Lineage node kind of a version. */
int sl_entity_node(enum sl_entity entity);

/** A deploy world (transactions, aliases, materialising) over a workspace; for engine and commands alike. */
struct sl_deploy_world;
void sl_workspace_deploy_world(struct sl_workspace *ws, struct sl_deploy_world *ret);

#endif
