/* Socket ids: a small keyed permutation of (worker, slot), and a random half. */
#include "base/base.h"

#include "wire/socket_id.h"

#include "base/rand.h"
#include "base/text.h"

enum { ROUNDS = 4 };

static uint32_t keys[ROUNDS];

void socket_id_init(void)
{
    rand_bytes(keys, sizeof keys);
}

static uint16_t mix(uint16_t half, uint32_t key)
{
    uint32_t x = (half ^ key) * 0x9E3779B1U;
    x ^= x >> 15;
    x *= 0x85EBCA6BU;
    return (uint16_t)(x >> 16);
}

/* A Feistel network over 32 bits: any mix() gives a permutation. */
static uint32_t scramble(uint32_t plain)
{
    uint16_t left = (uint16_t)(plain >> 16);
    uint16_t right = (uint16_t)plain;
    for (int i = 0; i < ROUNDS; i++) {
        uint16_t next = left ^ mix(right, keys[i]);
        left = right;
        right = next;
    }
    return (uint32_t)left << 16 | right;
}

static uint32_t unscramble(uint32_t mixed)
{
    uint16_t left = (uint16_t)(mixed >> 16);
    uint16_t right = (uint16_t)mixed;
    for (int i = ROUNDS - 1; i >= 0; i--) {
        uint16_t before = right ^ mix(left, keys[i]);
        right = left;
        left = before;
    }
    return (uint32_t)left << 16 | right;
}

size_t socket_id_write(struct session_ref ref, char out[SOCKET_ID_MAX])
{
    size_t n = text_u64(out, scramble((uint32_t)ref.worker << 24 | ref.slot));
    out[n++] = '.';
    return n + text_u64(out + n, ref.nonce);
}

static bool is_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.len > 0;
}

bool socket_id_read(struct span text, struct session_ref *ref)
{
    uint64_t mixed;
    uint64_t nonce;
    *ref = (struct session_ref){0};
    const char *dot = text.len ? memchr(text.p, '.', text.len) : NULL;
    if (!dot)
        return false;
    struct span first = span_of(text.p, (size_t)(dot - text.p));
    struct span second = span_from(text, first.len + 1);
    if (!is_digits(first) || !is_digits(second))
        return false;
    if (!text_to_u64(first, &mixed) || !text_to_u64(second, &nonce))
        return true;
    if (mixed > UINT32_MAX || nonce > UINT32_MAX)
        return true;
    uint32_t plain = unscramble((uint32_t)mixed);
    *ref = (struct session_ref){
        .slot = plain & 0xffffff, .nonce = (uint32_t)nonce, .worker = (uint16_t)(plain >> 24)};
    return true;
}
