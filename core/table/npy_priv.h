/**
 * numpy's arrays: header, element kinds, and bytes of an array, stored or deflated in an archive.
 *
 * Stays inside the room. Sources: numpy.lib.format; PKWARE's APPNOTE.TXT for the archive.
 */
#ifndef SL_TABLE_NPY_PRIV_H
#define SL_TABLE_NPY_PRIV_H

#include <zlib.h>

#include "core/table/table_priv.h"

#define NPY_HEADER_BYTES_MAX (4u << 20)
#define NPY_ROW_BYTES_MAX    (16u << 20)
#define NPZ_DIRECTORY_MAX    (16u << 20)
#define NPZ_MEMBERS_MAX      4096
#define NPY_INPUT_BYTES      65536 /* of deflated bytes read at once */

/** Kinds of elements, by numpy's letters. */
enum npy_kind {
    NPY_BOOL = 'b',
    NPY_INT = 'i',
    NPY_UINT = 'u',
    NPY_FLOAT = 'f',
    NPY_BYTES = 'S',
    NPY_TEXT = 'U',
    NPY_TIME = 'M',
};

struct npy_element {
    enum npy_kind kind;
    bool swapped; /* the other byte order */
    uint32_t size;
    char unit; /* of NPY_TIME: D s m(s) u(s) n(s) */
};

/** A column of an array. */
struct npy_column {
    const char *name;
    struct npy_element element;
    uint32_t offset; /* within a row of the array */
};

/** An array in the file. */
struct npy_array {
    const char *name;     /* of the member, NULL in a file of its own */
    uint64_t begin, size; /* of the bytes in the file, header included; deflated ones as stored */
    uint64_t data;        /* where the elements begin, among the plain bytes */
    uint64_t plain_size;
    bool deflated, fortran;
    uint64_t n_rows;
    uint32_t row_bytes;
    struct npy_column *columns;
    size_t n_columns;
    bool used;

    bool started; /* of a deflated one: the stream and how far it is */
    z_stream stream;
    uint64_t fed, made;
    struct table_mem input, rows;
};

/** Parses the header at the array's beginning: rows, columns, where the data begins. `text` is read
 * through npy_bytes. */
int npy_header(struct sl_table *t, struct npy_array *a, struct sl_err *err);
/** Plain bytes from `offset` on; of deflated arrays never before where the last call ended. */
int npy_bytes(struct sl_table *t, struct npy_array *a, uint64_t offset, void *out, size_t len,
              struct sl_err *err);
void npy_release(struct sl_table *t, struct npy_array *a);
/** The members of an archive that are arrays. */
int npz_members(struct sl_table *t, struct npy_array **ret, size_t *ret_n, struct sl_err *err);

#endif
