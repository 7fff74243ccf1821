/* base64url. */
#include "base/base.h"

#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool base64url_decode(struct span text, struct buf *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            buf_add_char(out, (char)(bits >> n_bits));
            bits &= (1U << n_bits) - 1;
        }
    }
    return bits == 0;
}

void base64url_encode(struct span bytes, struct buf *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | (unsigned char)bytes.p[i];
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            buf_add_char(out, digits[bits >> n_bits & 63]);
        }
        bits &= (1U << n_bits) - 1;
    }
    if (n_bits)
        buf_add_char(out, digits[bits << (6 - n_bits) & 63]);
}
