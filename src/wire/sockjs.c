/* Lines of the HTTP transports. */
#include "base/base.h"

#include "wire/sockjs.h"

#include "wire/json.h"

/* What one byte becomes, in bytes; 0 = it begins a character of several. */
static unsigned width_of(unsigned char c)
{
    if (c >= 0x80)
        return 0;
    if (c == '"' || c == '\\')
        return 2;
    return c < 0x20 || c == 0x7f ? 6 : 1;
}

/* The character that begins at *at, which moves behind it. */
static uint32_t next_char(struct span text, size_t *at)
{
    unsigned char c = (unsigned char)text.p[(*at)++];
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t code = c & (0x3fU >> more);
    while (more-- && *at < text.len)
        code = code << 6 | ((unsigned char)text.p[(*at)++] & 0x3f);
    return code;
}

size_t sockjs_message_bytes(struct span text)
{
    size_t n = 5; // a["" and ]
    for (size_t i = 0; i < text.len;) {
        unsigned width = width_of((unsigned char)text.p[i]);
        if (width)
            i++;
        else
            width = next_char(text, &i) > 0xffff ? 12 : 6;
        n += width;
    }
    return n;
}

static char *put_unit(char *at, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    *at++ = '\\';
    *at++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *at++ = digits[unit >> shift & 15];
    return at;
}

static char *put_char(char *at, uint32_t code)
{
    if (code <= 0xffff)
        return put_unit(at, code);
    code -= 0x10000;
    return put_unit(put_unit(at, 0xd800 | code >> 10), 0xdc00 | (code & 0x3ff));
}

size_t sockjs_message(char *out, struct span text)
{
    char *at = out;
    memcpy(at, "a[\"", 3);
    at += 3;
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.p[i];
        unsigned width = width_of(c);
        if (width == 0) {
            at = put_char(at, next_char(text, &i));
            continue;
        }
        i++;
        if (width == 6) {
            at = put_unit(at, c);
            continue;
        }
        if (width == 2)
            *at++ = '\\';
        *at++ = (char)c;
    }
    *at++ = '"';
    *at++ = ']';
    return (size_t)(at - out);
}

void sockjs_add_close(struct buf *out, unsigned code, struct span reason)
{
    buf_addf(out, "c[%u,", code);
    json_quote(out, reason);
    buf_add_char(out, ']');
}
