/**
 * Descriptor and signal watches. libuv closes its handles asynchronously; ours live in a heap block
 * of their own, so that the embedding struct is free at once.
 *
 * Thread: loop.
 */
#include "core/base/base.h"

#include "core/aio/loop.h"

#include <stdlib.h>

#include "core/aio/aio_priv.h"

struct sl_fdwatch_io {
    uv_poll_t poll;
    struct sl_loop *loop;
    struct sl_fdwatch *watch; /* NULL once stopped */
};

struct sl_sigwatch_io {
    uv_signal_t signal;
    struct sl_loop *loop;
    struct sl_sigwatch *watch; /* NULL once stopped */
};

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct sl_fdwatch_io *io = poll->data;
    unsigned seen = 0;
    if (status != 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        seen |= SL_FD_READ;
    }
    if ((events & UV_WRITABLE) != 0) {
        seen |= SL_FD_WRITE;
    }
    if (io->watch != NULL) {
        io->watch->fn(io->watch, seen);
    }
}

int sl_fdwatch_start(struct sl_loop *loop, struct sl_fdwatch *watch, int fd, unsigned events,
                     struct sl_err *err)
{
    SL_ON_LOOP(loop);
    SL_ASSERT(watch->fn != NULL && watch->io == NULL);
    SL_ASSERT(events != 0 && (events & ~(unsigned)(SL_FD_READ | SL_FD_WRITE)) == 0);
    if (fd < 0) {
        return sl_err_set(err, SL_EINVAL, "cannot watch descriptor %d", fd);
    }
    struct sl_fdwatch_io *io = SL_NEW(struct sl_fdwatch_io);
    int status = uv_poll_init(&loop->uv, &io->poll, fd);
    if (status != 0) {
        free(io);
        return sl_err_set(err, SL_EINVAL, "cannot watch descriptor %d: %s", fd,
                          uv_strerror(status));
    }
    io->poll.data = io;
    int wanted = ((events & SL_FD_READ) != 0 ? UV_READABLE | UV_DISCONNECT : 0) |
                 ((events & SL_FD_WRITE) != 0 ? UV_WRITABLE : 0);
    status = uv_poll_start(&io->poll, wanted, on_poll);
    if (status != 0) {
        uv_close((uv_handle_t *)&io->poll, on_poll_closed);
        return sl_err_set(err, SL_EINVAL, "cannot watch descriptor %d: %s", fd,
                          uv_strerror(status));
    }
    io->loop = loop;
    io->watch = watch;
    watch->io = io;
    loop->n_users++;
    return 0;
}

void sl_fdwatch_stop(struct sl_fdwatch *watch)
{
    struct sl_fdwatch_io *io = watch->io;
    if (io == NULL) {
        return;
    }
    SL_ON_LOOP(io->loop);
    SL_ASSERT(io->loop->n_users > 0);
    io->loop->n_users--;
    io->watch = NULL;
    watch->io = NULL;
    SL_ASSERT(uv_poll_stop(&io->poll) == 0); /* at once: the caller may close the descriptor */
    uv_close((uv_handle_t *)&io->poll, on_poll_closed);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct sl_sigwatch_io *io = handle->data;
    if (io->watch != NULL) {
        io->watch->fn(io->watch, signum);
    }
}

int sl_sigwatch_start(struct sl_loop *loop, struct sl_sigwatch *watch, int signum,
                      struct sl_err *err)
{
    SL_ON_LOOP(loop);
    SL_ASSERT(watch->fn != NULL && watch->io == NULL);
    struct sl_sigwatch_io *io = SL_NEW(struct sl_sigwatch_io);
    int status = uv_signal_init(&loop->uv, &io->signal);
    if (status != 0) {
        free(io);
        return sl_uv_err(err, status, "cannot watch signals");
    }
    io->signal.data = io;
    status = uv_signal_start(&io->signal, on_signal, signum);
    if (status != 0) {
        uv_close((uv_handle_t *)&io->signal, on_poll_closed);
        return sl_err_set(err, SL_EINVAL, "cannot watch signal %d: %s", signum,
                          uv_strerror(status));
    }
    io->loop = loop;
    io->watch = watch;
    watch->io = io;
    loop->n_users++;
    return 0;
}

void sl_sigwatch_stop(struct sl_sigwatch *watch)
{
    struct sl_sigwatch_io *io = watch->io;
    if (io == NULL) {
        return;
    }
    SL_ON_LOOP(io->loop);
    SL_ASSERT(io->loop->n_users > 0);
    io->loop->n_users--;
    io->watch = NULL;
    watch->io = NULL;
    uv_close((uv_handle_t *)&io->signal, on_poll_closed);
}
