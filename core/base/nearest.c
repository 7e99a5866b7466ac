/**
 * "Did you mean": the nearest name by Damerau-Levenshtein distance (optimal string alignment).
 *
 * Thread: any. Must not: allocate; words longer than NEAREST_MAX have no suggestion.
 */
#include "core/base/base.h"

#include "core/base/str.h"

#define NEAREST_MAX 64

/** Distance with adjacent transpositions; three rolling rows of the table. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][NEAREST_MAX + 1];
    for (size_t j = 0; j <= m; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            size_t best = SL_MIN(above[j] + 1, row[j - 1] + 1);
            best = SL_MIN(best, above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = SL_MIN(best, above2[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *sl_nearest(const char *word, const char *const *names, size_t n)
{
    size_t len = strlen(word);
    if (len == 0 || len > NEAREST_MAX) {
        return NULL;
    }
    size_t best = SL_MAX(len / 3, (size_t)1) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(names[i]);
        if (m > NEAREST_MAX) {
            continue;
        }
        size_t d = distance(word, len, names[i], m);
        if (d < best) { /* ties: the first */
            best = d;
            found = names[i];
        }
    }
    return found;
}
