/**
 * Fault points: the table, and striking the n-th hit of a point as SLUICE_FAULT asks.
 *
 *     SLUICE_FAULT="fs.publish:2:kill"      the second hit
 *     SLUICE_FAULT="fs.write:3+:enospc"     every hit from the third on
 *
 * Thread: sl_fault_init before threads start; hits from any thread.
 * Must not: do anything while unarmed.
 */
#include "core/base/base.h"

#include "core/base/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/str.h"

#define FAULT_RULES_MAX 16
#define FAULT_RULE_TEXT 128

enum fault_kind { FAULT_KILL, FAULT_EIO, FAULT_ENOSPC, FAULT_STOP };

static const char *const kind_names[] = {"kill", "eio", "enospc", "stop"};

struct fault_rule {
    enum sl_fault_point point;
    enum fault_kind kind;
    bool onwards; /* from the n-th hit on, not only the n-th */
    uint64_t nth;
    atomic_uint_fast64_t hits;
};

bool sl_fault_armed;
static struct fault_rule rules[FAULT_RULES_MAX];
static size_t n_rules;

static const struct {
    const char *name, *text;
} points[] = {
#define SL_FAULT(id, name, text) [SL_FAULT_##id] = {(name), (text)},
#include "core/base/faults.def"
#undef SL_FAULT
};

const char *sl_fault_name(enum sl_fault_point point)
{
    SL_ASSERT((size_t)point < SL_LEN(points));
    return points[point].name;
}

const char *sl_fault_text(enum sl_fault_point point)
{
    SL_ASSERT((size_t)point < SL_LEN(points));
    return points[point].text;
}

static int find_point(const char *name, struct sl_err *err)
{
    const char *names[SL_LEN(points)];
    for (size_t i = 0; i < SL_LEN(points); i++) {
        names[i] = points[i].name;
        if (sl_streq(name, points[i].name)) {
            return (int)i;
        }
    }
    const char *near = sl_nearest(name, names, SL_LEN(points));
    return sl_err_set(err, SL_EINVAL, "SLUICE_FAULT: unknown fault point '%s'%s%s%s", name,
                      near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
}

static int find_kind(const char *name, struct sl_err *err)
{
    for (size_t i = 0; i < SL_LEN(kind_names); i++) {
        if (sl_streq(name, kind_names[i])) {
            return (int)i;
        }
    }
    return sl_err_set(err, SL_EINVAL,
                      "SLUICE_FAULT: unknown effect '%s', expected kill, eio, enospc or stop",
                      name);
}

/** One "point:nth:what". `text` is changed. */
static int add_rule(char *text, struct sl_err *err)
{
    char *nth = strchr(text, ':');
    char *what = nth != NULL ? strchr(nth + 1, ':') : NULL;
    if (what == NULL || n_rules == FAULT_RULES_MAX) {
        return sl_err_set(err, SL_EINVAL, "SLUICE_FAULT: '%s' is not point:nth:what (at most %d)",
                          text, FAULT_RULES_MAX);
    }
    *nth++ = '\0';
    *what++ = '\0';
    int point = find_point(text, err);
    int kind = point >= 0 ? find_kind(what, err) : point;
    if (kind < 0) {
        return kind;
    }
    struct fault_rule *rule = &rules[n_rules];
    size_t len = strlen(nth);
    rule->onwards = len > 0 && nth[len - 1] == '+';
    if (rule->onwards) {
        nth[len - 1] = '\0';
    }
    if (!sl_parse_u64(nth, &rule->nth) || rule->nth == 0) {
        return sl_err_set(err, SL_EINVAL, "SLUICE_FAULT: '%s' is not a hit number from 1 on", nth);
    }
    rule->point = (enum sl_fault_point)point;
    rule->kind = (enum fault_kind)kind;
    atomic_store(&rule->hits, 0);
    n_rules++;
    return 0;
}

int sl_fault_init(struct sl_err *err)
{
    sl_fault_armed = false;
    n_rules = 0;
    const char *text = getenv("SLUICE_FAULT");
    while (text != NULL && *text != '\0') {
        char rule[FAULT_RULE_TEXT];
        size_t len = strcspn(text, ",");
        if (len >= sizeof(rule)) {
            n_rules = 0;
            return sl_err_set(err, SL_EINVAL, "SLUICE_FAULT: rule longer than %d bytes",
                              FAULT_RULE_TEXT - 1);
        }
        memcpy(rule, text, len);
        rule[len] = '\0';
        int rc = add_rule(rule, err);
        if (rc != 0) {
            n_rules = 0;
            return rc;
        }
        text += len + (text[len] == ',' ? 1 : 0);
    }
    sl_fault_armed = n_rules > 0;
    return 0;
}

int sl_fault_hit(enum sl_fault_point point)
{
    for (size_t i = 0; i < n_rules; i++) {
        struct fault_rule *rule = &rules[i];
        if (rule->point != point) {
            continue;
        }
        uint64_t hit = atomic_fetch_add(&rule->hits, 1) + 1;
        if (hit != rule->nth && !(rule->onwards && hit > rule->nth)) {
            continue;
        }
        switch (rule->kind) {
        case FAULT_KILL: (void)kill(getpid(), SIGKILL); break;
        case FAULT_STOP: (void)kill(getpid(), SIGSTOP); break;
        case FAULT_EIO: return EIO;
        case FAULT_ENOSPC: return ENOSPC;
        }
    }
    return 0;
}
