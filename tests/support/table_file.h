/** A file as a source of a table: pread, for tools and measurements. */
#ifndef SL_TABLE_FILE_H
#define SL_TABLE_FILE_H

#include "core/base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/table/table.h"

static inline int table_file_read(void *data, uint64_t offset, void *buf, size_t len,
                                  size_t *ret_len, struct sl_err *err)
{
    ssize_t n = pread(*(const int *)data, buf, len, (off_t)offset);
    if (n < 0) {
        return sl_err_errno(err, errno, "read");
    }
    *ret_len = (size_t)n;
    return 0;
}

/** False when the file cannot be opened. `fd` must outlive the source. */
static inline bool table_file_source(const char *path, int *fd, struct sl_table_source *ret)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) != 0) {
        return false;
    }
    *ret = (struct sl_table_source){
        .read_at = table_file_read, .data = fd, .size = (uint64_t)st.st_size, .name = path};
    return true;
}

#endif
