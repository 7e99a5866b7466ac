/* Which addresses are inside. Thread: any. Must not: resolve names. */
#include "core/base/base.h"

#include "core/http/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct range4 {
    uint32_t base;
    int bits;
};

/* IANA special-purpose registry, all that is not globally reachable, and multicast and above. */
static const struct range4 inside4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* RFC 1918 */
    {0x64400000, 10}, /* shared address space (CGNAT) */
    {0xa9fe0000, 16}, /* link-local, cloud metadata */
    {0xac100000, 12}, /* RFC 1918 */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* RFC 1918 */
    {0xc6120000, 15}, /* benchmarking */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};

static enum sl_address_kind kind4(uint32_t ip)
{
    if (ip >> 24 == 127) {
        return SL_ADDRESS_LOOPBACK;
    }
    for (size_t i = 0; i < SL_LEN(inside4); i++) {
        if (((ip ^ inside4[i].base) >> (32 - inside4[i].bits)) == 0) {
            return SL_ADDRESS_PRIVATE;
        }
    }
    return SL_ADDRESS_PUBLIC;
}

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static enum sl_address_kind kind6(const uint8_t b[16])
{
    static const uint8_t zero[12];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(b, zero, 12) == 0 && be32(b + 12) == 1) {
        return SL_ADDRESS_LOOPBACK;
    }
    if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0 || memcmp(b, zero, 12) == 0) {
        return kind4(be32(b + 12)); /* the IPv4 address inside decides */
    }
    if (b[0] == 0x20 && b[1] == 0x02) {
        return kind4(be32(b + 2)) == SL_ADDRESS_PUBLIC ? SL_ADDRESS_PUBLIC
                                                       : SL_ADDRESS_PRIVATE; /* 6to4 */
    }
    /* Only 2000::/3 is global; of it documentation, Teredo and benchmarking (2001::/23) are not. */
    bool global = (b[0] & 0xe0) == 0x20;
    bool special =
        b[0] == 0x20 && b[1] == 0x01 && ((b[2] & 0xfe) == 0 || (b[2] == 0x0d && b[3] == 0xb8));
    return global && !special ? SL_ADDRESS_PUBLIC : SL_ADDRESS_PRIVATE;
}

enum sl_address_kind sl_fetch_address_kind(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        return kind4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        return kind6(in6.sin6_addr.s6_addr);
    }
    return SL_ADDRESS_PRIVATE;
}
