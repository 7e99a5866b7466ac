/**
 * Fault points: the named places where kill and fault tests strike. Every I/O façade has them, the
 * list is faults.def, and tests enumerate that list, so no boundary is chosen by hand.
 *
 * Armed by the environment at start-up only: SLUICE_FAULT="point:nth:what[,...]", `what` is one of
 * kill (raise SIGKILL), eio, enospc, stop (SIGSTOP). Costs one relaxed load while unarmed.
 */
#ifndef SL_FAULT_H
#define SL_FAULT_H

#include "core/base/err.h"

enum sl_fault_point {
#define SL_FAULT(id, name, text) SL_FAULT_##id,
#include "core/base/faults.def"
#undef SL_FAULT
    SL_FAULT_COUNT
};

/** Reads SLUICE_FAULT. Call once, before threads start. -SL_EINVAL on an unknown point. */
int sl_fault_init(struct sl_err *err);

extern bool sl_fault_armed; /* private: set by sl_fault_init */
int sl_fault_hit(
    enum sl_fault_point point); /* private: returns 0 or an errno value; may not return */

/** Yields 0, or the errno value to fail with. */
#define SL_FAULT_POINT(id) (__builtin_expect(sl_fault_armed, 0) ? sl_fault_hit(SL_FAULT_##id) : 0)

/** Name and description of a point, for the enumerating tests and `sluice debug faults`. */
const char *sl_fault_name(enum sl_fault_point point);
const char *sl_fault_text(enum sl_fault_point point);

#endif
