/* Directories of archives: which of them a version keeps. */
#include "core/base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "registry/source/source_priv.h"
#include "tests/support/sl_test.h"

/* Names that end in a slash are directories; made by Python's tarfile. */
static const char tar_script[] = "import io,sys,tarfile\n"
                                 "t=tarfile.open(sys.argv[1],'w:gz')\n"
                                 "for name in eval(sys.argv[2]):\n"
                                 "    i=tarfile.TarInfo(name)\n"
                                 "    if name.endswith('/'): i.type=tarfile.DIRTYPE\n"
                                 "    t.addfile(i,io.BytesIO(b''))\n"
                                 "t.close()\n";

static void unpack(const char *names, struct sl_manifest *m)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_blob_store *store = NULL;
    char *dir = sl_test_tmpdir();
    char *script = sl_test_path(dir, "make.py");
    char *path = sl_test_path(dir, "a.tar.gz");
    sl_test_write_text(script, tar_script);
    char *command = sl_asprintf("/usr/bin/python3 %s %s \"%s\"", script, path, names);
    FILE *p = popen(command, "r");
    SL_CHECK(p != NULL && pclose(p) == 0);
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    sl_manifest_init(m);
    SL_CHECK_OK(sl_blob_store_open(dirfd, "blobs", &store, &err), err);
    SL_CHECK_OK(unpack_archive(store, fd, m, &err), err);
    sl_blob_store_close(store);
    close(fd);
    close(dirfd);
    free(command);
    free(path);
    free(script);
    sl_test_rmdir(dir);
}

SL_TEST(registry_source_unpack, directories__empty_ones_once__others_by_what_they_hold)
{
    struct sl_manifest m;
    unpack("['z/','d/','d/','e/','e/f','z/','e/g/','e-1/','e/']", &m);
    static const char *const kept[] = {"d", "e-1", "e/f", "e/g", "z"};
    SL_CHECK_EQ_INT(m.entries.n, SL_LEN(kept));
    for (size_t i = 0; i < SL_LEN(kept); i++) {
        SL_CHECK_EQ_STR(m.entries.items[i].path, kept[i]);
        SL_CHECK_EQ_INT(m.entries.items[i].type, i == 2 ? SL_ENTRY_FILE : SL_ENTRY_DIR);
    }
    sl_manifest_release(&m);
}

SL_TEST(registry_source_unpack, directories__very_many_empty_ones__each_is_there)
{
    struct sl_manifest m;
    unpack("['d%05d/' % (i * 7919 % 30000) for i in range(30000)]", &m);
    SL_CHECK_EQ_INT(m.entries.n, 30000);
    SL_CHECK_EQ_STR(m.entries.items[29999].path, "d29999");
    sl_manifest_release(&m);
}
