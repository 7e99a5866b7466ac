/* The outgoing client without a network: addresses, URLs for people, waits, refusals before connecting. */
#include "core/base/base.h"

#include "core/http/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "core/http/download.h"
#include "core/http/fetch_priv.h"
#include "tests/support/sl_test.h"

static enum sl_address_kind kind(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return sl_fetch_address_kind((const struct sockaddr *)&in);
    }
    SL_CHECK_EQ_INT(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return sl_fetch_address_kind((const struct sockaddr *)&in6);
}

SL_TEST(core_http_fetch, address__outside__public)
{
    static const char *const list[] = {
        "1.1.1.1",      "9.255.255.255",   "11.0.0.0",       "100.63.255.255",
        "100.128.0.0",  "169.253.0.1",     "172.15.255.255", "172.32.0.0",
        "192.167.0.1",  "223.255.255.255", "198.17.0.1",     "198.20.0.0",
        "2606:4700::1", "2a00:1450::1",    "::ffff:8.8.8.8", "64:ff9b::808:808",
    };
    for (size_t i = 0; i < SL_LEN(list); i++) {
        SL_CHECK_EQ_INT(kind(list[i]), SL_ADDRESS_PUBLIC);
    }
}

SL_TEST(core_http_fetch, address__inside__private)
{
    static const char *const list[] = {
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fd00::1",
        "fc00::1",
        "ff02::1",
        "::",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2001:db8::1",
        "2002:a00:1::",
        "2002:7f00:1::",
        "fec0::1",
        "2001::1",
        "::ffff:169.254.169.254",
    };
    for (size_t i = 0; i < SL_LEN(list); i++) {
        SL_CHECK_EQ_INT(kind(list[i]), SL_ADDRESS_PRIVATE);
    }
}

SL_TEST(core_http_fetch, address__loopback__told_apart)
{
    SL_CHECK_EQ_INT(kind("127.0.0.1"), SL_ADDRESS_LOOPBACK);
    SL_CHECK_EQ_INT(kind("127.255.255.254"), SL_ADDRESS_LOOPBACK);
    SL_CHECK_EQ_INT(kind("::1"), SL_ADDRESS_LOOPBACK);
    SL_CHECK_EQ_INT(kind("::ffff:127.0.0.1"), SL_ADDRESS_LOOPBACK);
}

SL_TEST(core_http_fetch, url__for_people__without_secrets)
{
    char out[SL_FETCH_URL_MAX + 1];
    SL_CHECK_EQ_STR(sl_fetch_url_public("https://a.example/x?sig=SECRET#f", out),
                    "https://a.example/x");
    SL_CHECK_EQ_STR(sl_fetch_url_public("https://u:p@a.example/x", out), "https://a.example/x");
    SL_CHECK_EQ_STR(sl_fetch_url_public("https://u:p@q@a.example", out), "https://a.example");
    SL_CHECK_EQ_STR(sl_fetch_url_public("https://a.example/x@y", out), "https://a.example/x@y");
    SL_CHECK_EQ_STR(sl_fetch_url_public("nothing", out), "");
}

SL_TEST(core_http_fetch, backoff__grows__bounded)
{
    SL_CHECK_EQ_INT(sl_fetch_backoff_ms(500, 1, 0), 250);
    SL_CHECK_EQ_INT(sl_fetch_backoff_ms(500, 1, 250), 500);
    SL_CHECK_EQ_INT(sl_fetch_backoff_ms(500, 4, 0), 2000);
    SL_CHECK_EQ_INT(sl_fetch_backoff_ms(500, 40, 0), 15000);
    for (uint32_t r = 0; r < 100000; r += 997) {
        int64_t ms = sl_fetch_backoff_ms(500, 3, r);
        SL_CHECK(ms >= 1000 && ms <= 2000);
    }
}

SL_TEST(core_http_fetch, loopback_names__exactly)
{
    static const char *const yes[] = {"localhost", "LOCALHOST", "127.0.0.1", "127.1", "[::1]"};
    static const char *const no[] = {"localhost.example.org",
                                     "127.example.org",
                                     "127.0.0.1.nip.io",
                                     "::1",
                                     "10.0.0.1",
                                     "",
                                     "127."};
    for (size_t i = 0; i < SL_LEN(yes); i++) {
        SL_CHECK(fetch_loopback_name(yes[i], strlen(yes[i])));
    }
    for (size_t i = 0; i < SL_LEN(no); i++) {
        SL_CHECK(!fetch_loopback_name(no[i], strlen(no[i])));
    }
    SL_CHECK(fetch_loopback_name("127.0.0.1:25", 9));
}

SL_TEST(core_http_fetch, etag__strong_only)
{
    SL_CHECK(sl_etag_strong("\"abc\""));
    SL_CHECK(!sl_etag_strong("W/\"abc\""));
    SL_CHECK(!sl_etag_strong("\""));
    SL_CHECK(!sl_etag_strong(""));
}

static void refuse(unsigned allow, const char *url, int code, const char *text)
{
    struct sl_err err = SL_ERR_INIT;
    struct sl_fetcher *f = NULL;
    struct sl_fetch_answer a;
    struct sl_fetch_opts opts = {.allow = allow, .tries = 1};
    SL_CHECK_EQ_INT(sl_fetcher_new(&opts, &f, &err), 0);
    struct sl_fetch req = {.method = "GET", .url = url};
    SL_CHECK_EQ_INT(sl_fetch(f, &req, &a, &err), -code);
    SL_CHECK(strstr(err.msg, text) != NULL);
    sl_fetch_answer_release(&a);
    sl_fetcher_free(f);
}

SL_TEST(core_http_fetch, url__not_allowed__refused_with_reason)
{
    refuse(0, "http://192.0.2.1/", SL_EREFUSED, "plain http is not allowed");
    refuse(SL_FETCH_HTTP, "ftp://a.example/", SL_EREFUSED, "ftp:// is not allowed");
    refuse(SL_FETCH_HTTP, "file:///etc/passwd", SL_EINVAL, "no host");
    refuse(0, "https://u:p@a.example/", SL_EINVAL, "user or password");
    refuse(0, "no url at all", SL_EINVAL, "no URL");
    refuse(0, "https://127.0.0.1:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://[::1]:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://2130706433:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://0177.0.0.1:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://[::ffff:127.0.0.1]:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://localhost:9/", SL_EREFUSED, "loopback");
    refuse(0, "https://169.254.169.254/latest/meta-data", SL_EREFUSED, "private or special");
    refuse(SL_FETCH_LOOPBACK, "https://10.0.0.1/", SL_EREFUSED, "private or special");
    refuse(SL_FETCH_LOOPBACK, "http://10.0.0.1/", SL_EREFUSED, "private or special");
    refuse(SL_FETCH_LOOPBACK, "http://127.0.0.1:9/", SL_EUNREACHABLE, "127.0.0.1:9");
}

SL_TEST(core_http_fetch, url__at_the_limit_and_one_past__told)
{
    char url[SL_FETCH_URL_MAX + 2];
    memset(url, 'a', sizeof(url));
    memcpy(url, "https://127.0.0.1:9/", 20);
    url[SL_FETCH_URL_MAX] = '\0';
    refuse(0, url, SL_EREFUSED, "loopback");
    url[SL_FETCH_URL_MAX] = 'a';
    url[SL_FETCH_URL_MAX + 1] = '\0';
    refuse(0, url, SL_ELIMIT, "longer than 8192");
}

SL_TEST(core_http_fetch, header__control_character__refused)
{
    static const char *const headers[] = {"X-A", "b\r\nX-C: d", NULL};
    struct sl_err err = SL_ERR_INIT;
    struct sl_fetcher *f = NULL;
    struct sl_fetch_answer a;
    struct sl_fetch_opts opts = {.allow = SL_FETCH_LOOPBACK, .tries = 1};
    SL_CHECK_EQ_INT(sl_fetcher_new(&opts, &f, &err), 0);
    struct sl_fetch req = {.method = "GET", .url = "http://127.0.0.1:9/", .headers = headers};
    SL_CHECK_EQ_INT(sl_fetch(f, &req, &a, &err), -SL_EINVAL);
    SL_CHECK(strstr(err.msg, "control character") != NULL);
    sl_fetch_answer_release(&a);
    sl_fetcher_free(f);
}
