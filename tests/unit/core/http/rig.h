/**
 * A server on its own loop thread with routes for tests, and raw blocking sockets to probe it.
 */
#ifndef SL_TEST_HTTP_RIG_H
#define SL_TEST_HTTP_RIG_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/http/server.h"
#include "tests/support/sl_test.h"

struct rig {
    struct sl_http_limits limits; /* set before rig_start */
    char *dir, *socket_path;
    struct sl_loop *loop;
    struct sl_http_server *server;
    pthread_t thread;
    sem_t ready;
    /* what handlers saw and do */
    atomic_int handled, gone, bodies;
    atomic_size_t received;
    atomic_bool hold;    /* /hold: pause after the first piece */
    struct sl_req *held; /* loop thread */
    sem_t holding;       /* posted when a request is held */
    int64_t grace_ms;
    sem_t streaming; /* posted when an event stream begins */
};

void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);
/** Runs fn(rig) on the loop thread and waits for it. */
void rig_on_loop(struct rig *rig, void (*fn)(struct rig *rig));
void rig_resume(struct rig *rig); /* for rig_on_loop: lets the held request read on */
void rig_reply_held(struct rig *rig);

/** Connects; reads time out after 20 s, which fails the test. */
int rig_connect(struct rig *rig);
void rig_send(int fd, const void *data, size_t len); /* stops quietly when the peer closes */
void rig_send_text(int fd, const char *text);
/** Reads until the server closes. Caller frees. */
char *rig_read_all(int fd);
/** Reads until `needle` has come; returns everything. Caller frees. */
char *rig_read_until(int fd, const char *needle);
/** Sends, reads until closed, closes. Caller frees. */
char *rig_exchange(struct rig *rig, const char *text);
/** How many answers there are in the text; status of the first, 0 for none. */
int rig_count(const char *text, const char *needle);
int rig_status(const char *text);

#endif
