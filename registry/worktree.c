/* Reading the user's work tree through libgit2: see worktree.h. Thread: any. Must not: write, lock, refresh. */
#include "core/base/base.h"

#include "registry/worktree.h"

#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int git_fail(struct sl_err *err, const char *what)
{
    const git_error *e = git_error_last();
    return sl_err_set(err, SL_EIO, "%s: %s", what, e != NULL ? e->message : "unknown git error");
}

static int read_head(git_repository *repo, struct sl_worktree *w, struct sl_err *err)
{
    git_oid oid;
    int rc = git_reference_name_to_id(&oid, repo, "HEAD");
    if (rc == GIT_ENOTFOUND || rc == GIT_EUNBORNBRANCH) {
        return 0;
    }
    if (rc < 0) {
        return git_fail(err, "cannot read HEAD");
    }
    git_oid_tostr(w->commit, sizeof(w->commit), &oid);
    git_commit *commit = NULL;
    if (git_commit_lookup(&commit, repo, &oid) == 0) { /* a detached tag object has no author */
        const git_signature *by = git_commit_author(commit);
        (void)snprintf(w->author, sizeof(w->author), "%.100s <%.100s>", by->name, by->email);
        git_commit_free(commit);
    }
    return 0;
}

static int read_files(git_repository *repo, struct sl_worktree *w, struct sl_err *err)
{
    git_index *index = NULL;
    if (git_repository_index(&index, repo) < 0) {
        return git_fail(err, "cannot read the git index");
    }
    size_t n = git_index_entrycount(index);
    int rc = n > SL_WORKTREE_FILES_MAX
                 ? sl_err_set(err, SL_ELIMIT, "%zu tracked files; a snapshot takes at most %d", n,
                              SL_WORKTREE_FILES_MAX)
                 : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const git_index_entry *e = git_index_get_byindex(index, i);
        if ((e->mode & S_IFMT) != GIT_FILEMODE_COMMIT && git_index_entry_stage(e) <= 0) {
            sl_vec_push(&w->files, sl_strdup(e->path)); /* submodules are not part of a snapshot */
        }
    }
    git_index_free(index);
    return rc;
}

static int read_dirty(git_repository *repo, struct sl_worktree *w, struct sl_err *err)
{
    git_status_list *list = NULL;
    git_status_options opts;
    (void)git_status_options_init(&opts, GIT_STATUS_OPTIONS_VERSION);
    opts.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR;
    opts.flags = GIT_STATUS_OPT_EXCLUDE_SUBMODULES | GIT_STATUS_OPT_NO_REFRESH;
    if (git_status_list_new(&list, repo, &opts) < 0) {
        return git_fail(err, "cannot compare the work tree with HEAD");
    }
    w->dirty = git_status_list_entrycount(list) > 0;
    git_status_list_free(list);
    return 0;
}

int sl_worktree_read(const char *dir, struct sl_worktree *ret, struct sl_err *err)
{
    git_repository *repo = NULL;
    *ret = (struct sl_worktree){0};
    git_libgit2_init();
    int rc = git_repository_open_ext(&repo, dir, 0, NULL);
    if (rc < 0) {
        rc = rc == GIT_ENOTFOUND ? sl_err_set(err, SL_ENOTFOUND, "%s is in no git work tree", dir)
                                 : git_fail(err, "cannot open the git repository here");
        git_libgit2_shutdown();
        return rc;
    }
    const char *top = git_repository_workdir(repo);
    rc = top == NULL ? sl_err_set(err, SL_ENOTFOUND, "%s is in a bare git repository", dir) : 0;
    if (rc == 0) {
        size_t len = strlen(top);
        ret->top = sl_strndup(top, len > 1 && top[len - 1] == '/' ? len - 1 : len);
        rc = read_head(repo, ret, err);
    }
    rc = rc < 0 ? rc : read_files(repo, ret, err);
    rc = rc < 0 ? rc : read_dirty(repo, ret, err);
    git_repository_free(repo);
    git_libgit2_shutdown();
    return rc;
}

void sl_worktree_release(struct sl_worktree *w)
{
    for (size_t i = 0; i < w->files.n; i++) {
        free(w->files.items[i]);
    }
    sl_vec_free(&w->files);
    free(w->top);
    w->top = NULL;
}
