/**
 * Detectors of change in a stream, one value at a time, in constant (ADWIN: logarithmic) memory. Their state is
 * plain numbers, to be kept in a database row between values.
 *
 * Pure. Thread: any, one at a time per detector.
 */
#ifndef SL_STATS_DETECT_H
#define SL_STATS_DETECT_H

#include <stdbool.h>
#include <stdint.h>

enum sl_change { SL_CHANGE_NONE, SL_CHANGE_WARNING, SL_CHANGE_DRIFT };

/** Drift detection method (Gama et al. 2004) on errors 0/1. Zeroed = fresh; after DRIFT it starts afresh. */
struct sl_ddm {
    double n, mean;
    double least_p, least_s; /* at the least p + s so far */
    bool has_least;
};
enum sl_change sl_ddm_add(struct sl_ddm *d, double error);

/** Page-Hinkley test for a rising mean. */
struct sl_page_hinkley {
    double delta;  /* tolerated rise, default 0.005 */
    double lambda; /* threshold, default 50 */
    double n, mean, sum, least;
};
void sl_page_hinkley_init(struct sl_page_hinkley *d);
enum sl_change sl_page_hinkley_add(struct sl_page_hinkley *d, double x);

#define SL_ADWIN_BUCKETS 5 /* per row, before two join */
#define SL_ADWIN_ROWS    40

/** Adaptive windowing (Bifet and Gavaldà 2007): an exponential histogram; drops the old part when means differ. */
struct sl_adwin {
    double delta;        /* confidence, default 0.002 */
    int64_t check_every; /* default 32 */
    int64_t seen;
    double width, total, variance; /* of the window; variance is n times the variance */
    int n_rows;
    int n_buckets[SL_ADWIN_ROWS];
    double sums[SL_ADWIN_ROWS][SL_ADWIN_BUCKETS + 1]; /* oldest first within a row */
    double vars[SL_ADWIN_ROWS][SL_ADWIN_BUCKETS + 1];
};
void sl_adwin_init(struct sl_adwin *d);
enum sl_change sl_adwin_add(struct sl_adwin *d, double x);

#endif
