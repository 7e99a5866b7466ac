/** Inside core/base: what a failed assertion asks of the trace ring. */
#ifndef SL_LOG_PRIV_H
#define SL_LOG_PRIV_H

/** Prints the trace ring, oldest line first, to standard error. Gives up when the ring is busy. */
void sl_trace_dump(void);

#endif
