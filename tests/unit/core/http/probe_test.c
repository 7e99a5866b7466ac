/* Raw-socket probes: everything that could make two parsers disagree is refused, with one answer and
 * a closed connection; what is valid works. */
#include "core/base/base.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/unit/core/http/rig.h"

struct probe {
    const char *name;
    const char *bytes;
    size_t len; /* 0: strlen */
    int status;
    int answers; /* how many responses come */
    int bodies;  /* how often a body reached its handler */
};

#define H        "Host: a\r\n"
#define C        "Connection: close\r\n"
#define P        "POST /echo HTTP/1.1\r\n" H
#define SMUGGLED "GET /hello HTTP/1.1\r\n" H "\r\n"

static const struct probe probes[] = {
    /* framing */
    {"CL and TE", P "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 0,
     400, 1, 0},
    {"TE and CL", P "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED, 0,
     400, 1, 0},
    {"two differing CL", P "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" SMUGGLED, 0, 400, 1,
     0},
    {"two equal CL", P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, 400, 1, 0},
    {"CL list", P "Content-Length: 3, 3\r\n\r\nabc", 0, 400, 1, 0},
    {"CL with sign", P "Content-Length: +2\r\n\r\nab", 0, 400, 1, 0},
    {"CL negative", P "Content-Length: -2\r\n\r\nab", 0, 400, 1, 0},
    {"CL hexadecimal", P "Content-Length: 0x2\r\n\r\nab", 0, 400, 1, 0},
    {"CL empty", P "Content-Length: \r\n\r\nab", 0, 400, 1, 0},
    {"CL overflow", P "Content-Length: 18446744073709551618\r\n\r\nab", 0, 400, 1, 0},
    {"CL with inner blank", P "Content-Length: 1 2\r\n\r\nabcdefghijkl", 0, 400, 1, 0},
    {"blank before colon of TE", P "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 0, 400, 1, 0},
    {"blank before colon of CL", P "Content-Length : 2\r\n\r\nab", 0, 400, 1, 0},
    {"folded TE", P "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 0, 400, 1, 0},
    {"folded with tab", P "X: a\r\n\tb\r\nContent-Length: 0\r\n\r\n", 0, 400, 1, 0},
    {"TE unknown", P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, 400, 1, 0},
    {"TE chunked twice", P "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0, 400, 1, 0},
    {"TE gzip then chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, 501, 1, 0},
    {"TE chunked then identity", P "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0, 400,
     1, 0},
    {"two TE", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
     400, 1, 0},
    {"TE in HTTP/1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
     400, 1, 0},
    {"chunk data without CRLF",
     P "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" SMUGGLED, 0, 400, 1, 0},
    {"chunk size with sign", P "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 0, 400,
     1, 0},
    {"chunk size with 0x", P "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 0, 400, 1,
     0},
    {"chunk size overflow",
     P "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", 0, 400, 1, 0},
    {"chunk size line with LF", P "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 0, 400,
     1, 0},
    {"trailer fields", P "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n" SMUGGLED, 0, 400,
     1, 0},
    /* bytes */
    {"bare CR in value", "GET /hello HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 0, 400, 1, 0},
    {"bare CR as line end", "GET /hello HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", 0, 400, 1, 0},
    {"bare LF as line end", "GET /hello HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 0, 400, 1, 0},
    {"LF LF ends head", "GET /hello HTTP/1.1\nHost: a\n\n", 0, 400, 1, 0},
    {"NUL in value", "GET /hello HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 41, 400, 1, 0},
    {"NUL in name", "GET /hello HTTP/1.1\r\n" H "X\0Y: b\r\n\r\n", 40, 400, 1, 0},
    {"blank in name", "GET /hello HTTP/1.1\r\n" H "X Y: b\r\n\r\n", 0, 400, 1, 0},
    {"empty name", "GET /hello HTTP/1.1\r\n" H ": b\r\n\r\n", 0, 400, 1, 0},
    {"no colon", "GET /hello HTTP/1.1\r\n" H "Xb\r\n\r\n", 0, 400, 1, 0},
    {"control in value", "GET /hello HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 0, 400, 1, 0},
    /* host and request line */
    {"no Host", "GET /hello HTTP/1.1\r\n\r\n", 0, 400, 1, 0},
    {"two Host", "GET /hello HTTP/1.1\r\n" H "Host: b\r\n\r\n", 0, 400, 1, 0},
    {"empty Host", "GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 0, 400, 1, 0},
    {"Host with user", "GET /hello HTTP/1.1\r\nHost: a@b\r\n\r\n", 0, 400, 1, 0},
    {"Host list", "GET /hello HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400, 1, 0},
    {"no version", "GET /hello\r\n" H "\r\n", 0, 400, 1, 0},
    {"version 2.0", "GET /hello HTTP/2.0\r\n" H "\r\n", 0, 505, 1, 0},
    {"version 0.9", "GET /hello HTTP/0.9\r\n" H "\r\n", 0, 505, 1, 0},
    {"version 1.10", "GET /hello HTTP/1.10\r\n" H "\r\n", 0, 400, 1, 0},
    {"version in small letters", "GET /hello http/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"two blanks in the request line", "GET  /hello HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"blank in the address", "GET /hel lo HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"tab in the address", "GET /hel\tlo HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"blank before the request", " GET /hello HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"empty line before the request", "\r\nGET /hello HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"absolute form", "GET http://a/hello HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"fragment", "GET /hello#x HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"raw UTF-8 in the address", "GET /h\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"CONNECT", "CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"unknown method", "FETCH /hello HTTP/1.1\r\n" H "\r\n", 0, 400, 1, 0},
    {"TLS hello", "\x16\x03\x01\x02\x01\x01", 6, 400, 1, 0},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, 1, 0},
    {"unknown expectation", P "Content-Length: 2\r\nExpect: magic\r\n\r\nab", 0, 417, 1, 0},
    /* what is valid works */
    {"valid chunked body",
     P C "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n", 0, 200, 1, 1},
    {"valid length body", P C "Content-Length: 3\r\n\r\nabc", 0, 200, 1, 1},
    {"valid TE in capitals", P C "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 0, 200, 1, 1},
    {"valid upgrade is ignored",
     "GET /hello HTTP/1.1\r\n" H "Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n", 0, 200, 1,
     0},
    {"valid HTTP/1.0", "GET /hello HTTP/1.0\r\n" H "\r\n", 0, 200, 1, 0},
    {"valid pipeline",
     "GET /hello HTTP/1.1\r\n" H "\r\n" P "Content-Length: 2\r\n\r\nab"
     "GET /hello HTTP/1.1\r\n" H C "\r\n",
     0, 200, 3, 1},
    {"nothing after close", "GET /hello HTTP/1.1\r\n" H C "\r\n" SMUGGLED, 0, 200, 1, 0},
};

static void check_probe(struct rig *rig, const struct probe *probe)
{
    int bodies = atomic_load(&rig->bodies);
    int fd = rig_connect(rig);
    rig_send(fd, probe->bytes, probe->len != 0 ? probe->len : strlen(probe->bytes));
    char *answer = rig_read_all(fd);
    close(fd);
    SL_CHECK_MSG(rig_status(answer) == probe->status, "%s: expected %d, got: %s", probe->name,
                 probe->status, answer);
    SL_CHECK_MSG(rig_count(answer, "HTTP/1.1 ") == probe->answers, "%s: %s", probe->name, answer);
    SL_CHECK_MSG(atomic_load(&rig->bodies) - bodies == probe->bodies, "%s: %s", probe->name,
                 answer);
    if (probe->status >= 400) {
        SL_CHECK_MSG(strstr(answer, "Connection: close\r\n") != NULL, "%s: %s", probe->name,
                     answer);
        SL_CHECK_MSG(strstr(answer, "{\"error\":{\"code\":\"E") != NULL, "%s: %s", probe->name,
                     answer);
    }
    free(answer);
}

SL_TEST(core_http_probe, probes__whole__refused_or_answered_once)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    SL_CHECK(SL_LEN(probes) >= 33);
    for (size_t i = 0; i < SL_LEN(probes); i++) {
        check_probe(&rig, &probes[i]);
    }
    rig_stop(&rig);
}

SL_TEST(core_http_probe, probes__byte_by_byte__same_verdicts)
{
    struct rig rig = {.hold = false};
    rig_start(&rig);
    for (size_t i = 0; i < SL_LEN(probes); i++) {
        const struct probe *probe = &probes[i];
        size_t len = probe->len != 0 ? probe->len : strlen(probe->bytes);
        int fd = rig_connect(&rig);
        for (size_t k = 0; k < len; k++) {
            rig_send(fd, probe->bytes + k, 1);
        }
        char *answer = rig_read_all(fd);
        close(fd);
        SL_CHECK_MSG(rig_status(answer) == probe->status, "%s: expected %d, got: %s", probe->name,
                     probe->status, answer);
        SL_CHECK_MSG(rig_count(answer, "HTTP/1.1 ") == probe->answers, "%s: %s", probe->name,
                     answer);
        free(answer);
    }
    rig_stop(&rig);
}
