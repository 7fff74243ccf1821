/* Numbers, hex and UTF-8. */
#include "base/base.h"

#include "base/text.h"

size_t text_u64(char *out, uint64_t n)
{
    char back[TEXT_U64];
    size_t len = 0;
    do {
        back[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    for (size_t i = 0; i < len; i++)
        out[i] = back[len - 1 - i];
    return len;
}

bool text_to_u64(struct span s, uint64_t *n)
{
    uint64_t value = 0;
    if (s.len == 0 || s.len > TEXT_U64)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *n = value;
    return true;
}

void text_hex(char *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
}

int text_unhex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_eq_nocase(struct span a, const char *lower)
{
    if (strlen(lower) != a.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char c = a.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (c != lower[i])
            return false;
    }
    return true;
}

/* What may follow a lead byte: the table 3-7 of the Unicode standard. */
static bool start_char(struct utf8 *u, unsigned char c)
{
    u->lo = 0x80;
    u->hi = 0xBF;
    if (c >= 0xC2 && c <= 0xDF) {
        u->need = 1;
    } else if (c >= 0xE0 && c <= 0xEF) {
        u->need = 2;
        if (c == 0xE0)
            u->lo = 0xA0; // shorter forms exist below
        else if (c == 0xED)
            u->hi = 0x9F; // surrogates
    } else if (c >= 0xF0 && c <= 0xF4) {
        u->need = 3;
        if (c == 0xF0)
            u->lo = 0x90;
        else if (c == 0xF4)
            u->hi = 0x8F; // above U+10FFFF
    } else {
        return c < 0x80;
    }
    return true;
}

static size_t skip_ascii(const char *p, size_t i, size_t len)
{
    uint64_t word;
    while (len - i >= sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if (word & 0x8080808080808080U)
            break;
        i += sizeof word;
    }
    return i;
}

bool utf8_feed(struct utf8 *u, const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!u->need) {
            i = skip_ascii(p, i, len);
            if (i == len)
                break;
        }
        unsigned char c = (unsigned char)p[i];
        if (!u->need) {
            if (!start_char(u, c))
                return false;
            continue;
        }
        if (c < u->lo || c > u->hi)
            return false;
        u->need--;
        u->lo = 0x80;
        u->hi = 0xBF;
    }
    return true;
}

bool utf8_is_valid(struct span s)
{
    struct utf8 u = {0};
    return utf8_feed(&u, s.p, s.len) && !u.need;
}

size_t utf8_chars(struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}
