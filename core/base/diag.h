/**
 * Diagnostics about user text: collected (all at once), sorted, printed with a caret and suggestion.
 */
#ifndef SL_DIAG_H
#define SL_DIAG_H

#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define SL_DIAGS_MAX 100 /* kept per collection; the rest is counted */

enum sl_severity { SL_SEV_ERROR, SL_SEV_WARNING };

/** A place in a source text; line and column count from 1; 0 = unknown. */
struct sl_loc {
    const char *file;
    int line, column;
    int width; /* columns to underline, at least 1 */
};

struct sl_diag {
    enum sl_severity severity;
    struct sl_loc loc;
    const char *message; /* one line, no full stop: "unknown key 'rum'; did you mean 'run'?" */
    const char *hint;    /* NULL, or further lines (a rewrite to paste) */
    const char *source;  /* NULL, or the source line */
};

struct sl_diags {
    struct sl_arena *arena; /* owns all texts */
    SL_VEC(struct sl_diag) list;
    size_t n_errors, n_warnings; /* including those past SL_DIAGS_MAX */
};

void sl_diags_init(struct sl_diags *d, struct sl_arena *arena);
void sl_diags_release(struct sl_diags *d);
/** Copies everything it is given. `source_text`/`source_len`: the whole file, to cut the line from (NULL: none). */
void sl_diag_add(struct sl_diags *d, enum sl_severity severity, struct sl_loc loc,
                 struct sl_str source_text, const char *hint, const char *fmt, ...) SL_PRINTF(6, 7);
/** By file in order of first appearance, then line, then column; stable. */
void sl_diags_sort(struct sl_diags *d);
/**
 * file:line:column: error: message
 *     source line
 *     ^~~~
 *   hint
 * Control characters are shown escaped; long lines are cut around the caret. `color` uses ANSI.
 */
void sl_diags_print(const struct sl_diags *d, bool color, struct sl_buf *out);
json_t *sl_diags_json(
    const struct sl_diags *d); /* array of {severity,file,line,column,message,hint} */

#endif
