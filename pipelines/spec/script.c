/**
 * `run:` scripts: the shell must never see substituted text, so each ${{ }} is refused and its rewrite
 * to `env` is shown. Also the small notations of resources.
 *
 * Thread: any. Must not: look at more than one value.
 */
#include "core/base/base.h"

#include <ctype.h>
#include <math.h>

#include "core/base/time.h"
#include "pipelines/spec/spec_priv.h"

/* "params.batch-size" gives BATCH_SIZE: the last word of the expression. */
static void variable_name(struct sl_str expr, char *out, size_t size)
{
    size_t end = expr.len;
    while (end > 0 && !isalnum((unsigned char)expr.ptr[end - 1])) {
        end--;
    }
    size_t start = end;
    while (start > 0 && (isalnum((unsigned char)expr.ptr[start - 1]) ||
                         strchr("_-", expr.ptr[start - 1]) != NULL)) {
        start--;
    }
    while (start < end && !isalpha((unsigned char)expr.ptr[start])) {
        start++;
    }
    size_t n = 0;
    for (size_t i = start; i < end && n + 1 < size; i++) {
        int c = toupper((unsigned char)expr.ptr[i]);
        out[n++] = (char)(c == '-' ? '_' : c);
    }
    out[n] = '\0';
    if (n == 0) {
        (void)memcpy(out, "VALUE", sizeof("VALUE"));
    }
}

static struct sl_str trim(struct sl_str s)
{
    while (s.len > 0 && isspace((unsigned char)s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && isspace((unsigned char)s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

void sl_spec_check_script(struct spec_loader *l, const struct sl_yaml *y,
                          const struct sl_yaml_node *node, const char *what)
{
    const char *text = node->text.ptr;
    size_t left = SPEC_SCRIPT_REPORTS_MAX;
    for (const char *p = strstr(text, "${{"); p != NULL && left > 0; p = strstr(p, "${{"), left--) {
        const char *close = strstr(p, "}}");
        const char *end = close != NULL ? close + 2 : p + 3;
        struct sl_str expr =
            trim((struct sl_str){p + 3, (size_t)(close != NULL ? close - p - 3 : 0)});
        char name[64];
        variable_name(expr, name, sizeof(name));
        const char *hint = sl_arena_printf(
            l->arena,
            "give it as an environment variable:\n    env: { %s: \"${{ %.*s }}\" }\n"
            "and use \"$%s\" in the script",
            name, (int)SL_MIN(expr.len, (size_t)200), expr.ptr, name);
        struct sl_loc loc = sl_yaml_loc_at(y, node, (size_t)(p - text), (size_t)(end - p));
        sl_spec_report(l, SL_SEV_ERROR, loc, hint,
                       "%s cannot hold expressions: the shell would run their text", what);
        p = end;
    }
}

bool sl_spec_read_cpu(const char *text, int *ret_milli)
{
    double value;
    size_t len = strlen(text);
    if (len > 1 && len < 10 && text[len - 1] == 'm') {
        char digits[16] = "";
        int64_t milli;
        (void)memcpy(digits, text, len - 1);
        if (!sl_parse_i64(digits, &milli)) {
            return false;
        }
        *ret_milli = (int)milli;
        return true;
    }
    if (!sl_parse_double(text, &value) || !(value >= 0 && value <= 1000000)) {
        return false;
    }
    *ret_milli = (int)lround(value * 1000);
    return true;
}

static bool read_size_part(const char *text, size_t len, uint64_t *ret)
{
    char part[64];
    if (len >= sizeof(part)) {
        return false;
    }
    (void)memcpy(part, text, len);
    part[len] = '\0';
    *ret = 0;
    return len == 0 || sl_size_parse(part, ret);
}

bool sl_spec_read_range(const char *text, uint64_t *ret_min, uint64_t *ret_max)
{
    const char *dots = strstr(text, "..");
    uint64_t min = 0, max = 0;
    if (dots == NULL) {
        if (!read_size_part(text, strlen(text), &min)) {
            return false;
        }
    } else if (!read_size_part(text, (size_t)(dots - text), &min) ||
               !read_size_part(dots + 2, strlen(dots + 2), &max)) {
        return false;
    }
    *ret_min = min;
    *ret_max = max;
    return true;
}
