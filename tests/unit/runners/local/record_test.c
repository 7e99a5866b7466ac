/* Exit records: accepted as documented, refused when anything is wrong. */
#include "core/base/base.h"

#include "runners/local/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/support/sl_test.h"

#define NONCE "0123456789abcdef0123456789abcdef"

/* Sums by python3 -c 'import zlib; zlib.crc32(...)'. */
static const char GOOD[] = "sluice-exit 1\nnonce=" NONCE "\nclass=signal\ncode=-1\nsignal=9\n"
                           "oom=1\nstarted_ms=1795168800000\nended_ms=1795168801500\n"
                           "user_us=250000\nsystem_us=125000\nmaxrss_kb=51200\ndropped=7\n"
                           "reason=some words\nsum=1a9bfd7c\n";

static int parse(const char *text, const char *nonce, struct sl_attempt_result *ret,
                 struct sl_err *err)
{
    return sl_exit_record_parse(text, strlen(text), nonce, ret, err);
}

SL_TEST(runners_local_record, parse__good__all_fields)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_result r;
    SL_CHECK_OK(parse(GOOD, NONCE, &r, &err), err);
    SL_CHECK_EQ_INT(r.class, SL_CLASS_SIGNAL);
    SL_CHECK_EQ_INT(r.exit_code, -1);
    SL_CHECK_EQ_INT(r.signal, 9);
    SL_CHECK(r.oom);
    SL_CHECK_EQ_INT(r.started_ms, 1795168800000);
    SL_CHECK_EQ_INT(r.ended_ms, 1795168801500);
    SL_CHECK_EQ_INT(r.user_us, 250000);
    SL_CHECK_EQ_INT(r.system_us, 125000);
    SL_CHECK_EQ_INT(r.maxrss_kb, 51200);
    SL_CHECK_EQ_UINT(r.log_dropped_bytes, 7);
    SL_CHECK_EQ_STR(r.reason, "some words");
}

SL_TEST(runners_local_record, parse__any_single_bit_flipped__is_refused)
{
    for (size_t i = 0; i < strlen(GOOD) * 8; i++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_attempt_result r;
        char *text = sl_strdup(GOOD);
        text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
        SL_CHECK_EQ_INT(sl_exit_record_parse(text, strlen(GOOD), NONCE, &r, &err), -SL_ECORRUPT);
        free(text);
    }
}

SL_TEST(runners_local_record, parse__cut_anywhere__is_refused)
{
    for (size_t n = 0; n < strlen(GOOD); n++) {
        struct sl_err err = SL_ERR_INIT;
        struct sl_attempt_result r;
        SL_CHECK_EQ_INT(sl_exit_record_parse(GOOD, n, NONCE, &r, &err), -SL_ECORRUPT);
    }
}

SL_TEST(runners_local_record, parse__other_nonce_or_too_long__says_so)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_result r;
    SL_CHECK_ERR(parse(GOOD, "fedcba9876543210fedcba9876543210", &r, &err), SL_ECORRUPT, err,
                 "exit record: it belongs to another attempt");
    SL_CHECK_OK(parse(GOOD, NULL, &r, &err), err);
    char *big = sl_calloc(1, SL_EXIT_RECORD_MAX + 2);
    memset(big, 'x', SL_EXIT_RECORD_MAX + 1);
    SL_CHECK_ERR(parse(big, NULL, &r, &err), SL_ECORRUPT, err, "longer than 4096 bytes");
    big[SL_EXIT_RECORD_MAX] = '\0';
    SL_CHECK_ERR(parse(big, NULL, &r, &err), SL_ECORRUPT, err, "not a record of version 1");
    free(big);
}

SL_TEST(runners_local_record, read__fifo_link_or_folder_in_its_place__is_refused_at_once)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_attempt_result r;
    char dir[] = "/tmp/sluice-record-XXXXXX";
    SL_CHECK(mkdtemp(dir) != NULL);
    _cleanup_(close)
    int fd = sl_opendir_at(AT_FDCWD, dir, &err);
    SL_CHECK(fd >= 0);
    SL_CHECK_EQ_INT(sl_exit_record_read(fd, NONCE, &r, &err), -SL_ENOTFOUND);
    SL_CHECK(mkfifoat(fd, "exit", 0600) == 0);
    SL_CHECK_ERR(sl_exit_record_read(fd, NONCE, &r, &err), SL_ECORRUPT, err, "not a regular file");
    SL_CHECK(unlinkat(fd, "exit", 0) == 0 && symlinkat("/dev/zero", fd, "exit") == 0);
    SL_CHECK_ERR(sl_exit_record_read(fd, NONCE, &r, &err), SL_ECORRUPT, err, "not a regular file");
    SL_CHECK(unlinkat(fd, "exit", 0) == 0 && mkdirat(fd, "exit", 0700) == 0);
    SL_CHECK_ERR(sl_exit_record_read(fd, NONCE, &r, &err), SL_ECORRUPT, err, "not a regular file");
    SL_CHECK_OK(sl_remove_tree_at(AT_FDCWD, dir, &err), err);
}
