/* A checking scanner over JSON text; values are slices. */
#include "base/base.h"

#include "wire/json.h"

#include "base/text.h"

/* p is the next byte, end one behind the last; the scanner stops dead at the first error. */
struct scanner {
    const char *p, *end;
    bool is_escaped; // of the string scanned last
};

static void skip_blanks(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

/* A byte of this word may be a quote, a backslash, a control or not ASCII: classic
 * has-zero-byte tests on eight bytes at once.  May say yes for a word that has none. */
static inline bool is_special(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101U;
    const uint64_t tops = 0x8080808080808080U;
    uint64_t quote = w ^ ones * '"';
    uint64_t slash = w ^ ones * '\\';
    uint64_t found = (quote - ones) | (slash - ones) | (w - ones * 0x20) | w;
    return found & tops;
}

static inline bool has_special(const char *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof word);
    return is_special(word);
}

static bool scan_hex4(struct scanner *s)
{
    if (s->end - s->p < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (text_unhex(s->p[i]) < 0)
            return false;
    s->p += 4;
    return true;
}

static bool scan_escape(struct scanner *s)
{
    s->is_escaped = true;
    if (s->p == s->end)
        return false;
    char c = *s->p++;
    if (c == 'u')
        return scan_hex4(s);
    return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
           c == 't';
}

/* One run of bytes above 0x7f, checked as UTF-8. */
static bool scan_utf8(struct scanner *s)
{
    const char *from = s->p;
    while (s->p < s->end && (unsigned char)*s->p >= 0x80)
        s->p++;
    return utf8_is_valid(span_of(from, (size_t)(s->p - from)));
}

/* p stands behind the opening quote; at the end behind the closing one. */
static bool scan_string(struct scanner *s)
{
    s->is_escaped = false;
    for (;;) {
        while (s->end - s->p >= 8 && !has_special(s->p))
            s->p += 8;
        if (s->p == s->end)
            return false;
        unsigned char c = (unsigned char)*s->p;
        if (c >= 0x80) {
            if (!scan_utf8(s))
                return false;
            continue;
        }
        s->p++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !scan_escape(s)))
            return false;
    }
}

static bool is_digit(const struct scanner *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static bool scan_digits(struct scanner *s)
{
    if (!is_digit(s))
        return false;
    while (is_digit(s))
        s->p++;
    return true;
}

static bool scan_number(struct scanner *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool scan_value(struct scanner *s, struct json *value, unsigned depth);

static void take_field(
    const struct json *name, const struct json *value, struct json_field *fields, size_t n)
{
    char decoded[128]; // six times the longest name that anyone wants
    struct span inner = json_inner(name);
    struct buf scratch = {decoded, 0, sizeof decoded};
    /* A decoded name is never longer than its source, so scratch cannot grow. */
    if (name->is_escaped && (inner.len > sizeof decoded || !json_decode(name, &scratch, &inner)))
        return;
    for (size_t i = 0; i < n; i++)
        if (span_is(inner, fields[i].name))
            fields[i].value = *value;
}

static bool scan_name(struct scanner *s, struct json *name)
{
    const char *from = s->p;
    if (s->p == s->end || *s->p++ != '"' || !scan_string(s))
        return false;
    *name = (struct json){JSON_STRING, s->is_escaped, span_of(from, (size_t)(s->p - from))};
    skip_blanks(s);
    if (s->p == s->end || *s->p++ != ':')
        return false;
    skip_blanks(s);
    return true;
}

/* After an item: true with *more set at a comma, true without at the closing bracket. */
static bool scan_next(struct scanner *s, char close, bool *more)
{
    skip_blanks(s);
    if (s->p == s->end)
        return false;
    char c = *s->p++;
    *more = c == ',';
    if (c != ',' && c != close)
        return false;
    if (*more)
        skip_blanks(s); // behind the closing bracket they are not part of the value
    return true;
}

/* p stands behind the brace. */
static bool scan_object(
    struct scanner *s, unsigned depth, struct json_field *fields, size_t n_fields)
{
    bool more = true;
    skip_blanks(s);
    if (s->p < s->end && *s->p == '}') {
        s->p++;
        return true;
    }
    while (more) {
        struct json name;
        struct json value;
        if (!scan_name(s, &name) || !scan_value(s, &value, depth))
            return false;
        if (n_fields)
            take_field(&name, &value, fields, n_fields);
        if (!scan_next(s, '}', &more))
            return false;
    }
    return true;
}

static bool scan_array(struct scanner *s, unsigned depth)
{
    bool more = true;
    skip_blanks(s);
    if (s->p < s->end && *s->p == ']') {
        s->p++;
        return true;
    }
    while (more) {
        struct json value;
        if (!scan_value(s, &value, depth) || !scan_next(s, ']', &more))
            return false;
    }
    return true;
}

static enum json_kind kind_of(char c)
{
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return c == '-' || (c >= '0' && c <= '9') ? JSON_NUMBER : JSON_ABSENT;
    }
}

static bool scan_kind(struct scanner *s, enum json_kind kind, unsigned depth,
    struct json_field *fields, size_t n_fields)
{
    switch (kind) {
    case JSON_OBJECT:
        s->p++;
        return depth < JSON_DEPTH && scan_object(s, depth + 1, fields, n_fields);
    case JSON_ARRAY:
        s->p++;
        return depth < JSON_DEPTH && scan_array(s, depth + 1);
    case JSON_STRING:
        s->p++;
        return scan_string(s);
    case JSON_NUMBER:
        return scan_number(s);
    case JSON_TRUE:
        return scan_word(s, "true");
    case JSON_FALSE:
        return scan_word(s, "false");
    case JSON_NULL:
        return scan_word(s, "null");
    case JSON_ABSENT:
    case JSON_KINDS:
        break;
    }
    return false;
}

static bool scan_value_fields(struct scanner *s, struct json *value, unsigned depth,
    struct json_field *fields, size_t n_fields)
{
    if (s->p == s->end)
        return false;
    const char *from = s->p;
    enum json_kind kind = kind_of(*from);
    if (!scan_kind(s, kind, depth, fields, n_fields))
        return false;
    bool is_escaped = kind == JSON_STRING && s->is_escaped;
    *value = (struct json){kind, is_escaped, span_of(from, (size_t)(s->p - from))};
    return true;
}

// NOLINTNEXTLINE(misc-no-recursion): JSON_DEPTH bounds it
static bool scan_value(struct scanner *s, struct json *value, unsigned depth)
{
    return scan_value_fields(s, value, depth, NULL, 0);
}

bool json_parse_fields(
    struct span text, struct json *value, struct json_field *fields, size_t n_fields)
{
    struct scanner s = {text.p, text.p + text.len, false};
    for (size_t i = 0; i < n_fields; i++)
        fields[i].value = (struct json){0};
    *value = (struct json){0};
    if (!text.len)
        return false;
    skip_blanks(&s);
    if (!scan_value_fields(&s, value, 0, fields, n_fields))
        return false;
    skip_blanks(&s);
    return s.p == s.end;
}

bool json_parse(struct span text, struct json *value)
{
    return json_parse_fields(text, value, NULL, 0);
}

void json_fields(const struct json *object, struct json_field *fields, size_t n_fields)
{
    struct json again;
    bool ok = json_parse_fields(object->raw, &again, fields, n_fields);
    ENSURE(ok);
}

static bool next_item(const struct json *of, size_t *at, struct json *name, struct json *item)
{
    struct scanner s = {of->raw.p + *at, of->raw.p + of->raw.len, false};
    if (s.p == s.end)
        return false;
    s.p++; // the bracket, or the comma behind the item before
    skip_blanks(&s);
    if (*at == 0 && (*s.p == ']' || *s.p == '}'))
        return false;
    bool ok = (!name || scan_name(&s, name)) && scan_value(&s, item, 0);
    ENSURE(ok);
    skip_blanks(&s);
    *at = *s.p == ',' ? (size_t)(s.p - of->raw.p) : of->raw.len;
    return true;
}

bool json_next(const struct json *array, size_t *at, struct json *item)
{
    return next_item(array, at, NULL, item);
}

bool json_next_member(const struct json *object, size_t *at, struct json *name, struct json *item)
{
    return next_item(object, at, name, item);
}

struct span json_inner(const struct json *string)
{
    ENSURE(string->kind == JSON_STRING);
    return span_of(string->raw.p + 1, string->raw.len - 2);
}

static uint32_t read_hex4(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)text_unhex(p[i]);
    return v;
}

static bool is_high(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDBFF;
}

static bool is_low(uint32_t c)
{
    return c >= 0xDC00 && c <= 0xDFFF;
}

/* *p stands behind the backslash; moves behind the escape.  A pair becomes one character, a
 * lone half is returned as it is. */
static uint32_t read_escape(const char **p, const char *end)
{
    static const char names[] = "bfnrt";
    static const char values[] = "\b\f\n\r\t";
    char c = *(*p)++;
    if (c != 'u') {
        const char *at = strchr(names, c);
        return at ? (uint32_t)values[at - names] : (uint32_t)c;
    }
    uint32_t first = read_hex4(*p);
    *p += 4;
    if (is_high(first) && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t second = read_hex4(*p + 2);
        if (is_low(second)) {
            *p += 6;
            return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
    }
    return first;
}

static size_t encode_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t json_string_bytes(const struct json *string)
{
    struct span in = json_inner(string);
    if (!string->is_escaped)
        return in.len;
    const char *p = in.p;
    const char *end = in.p + in.len;
    size_t n = 0;
    while (p < end) {
        char bytes[4];
        if (*p != '\\') {
            n++;
            p++;
            continue;
        }
        p++;
        n += encode_utf8(bytes, read_escape(&p, end));
    }
    return n;
}

bool json_decode(const struct json *string, struct buf *scratch, struct span *out)
{
    struct span in = json_inner(string);
    *out = in;
    if (!string->is_escaped)
        return true;
    const char *p = in.p;
    const char *end = in.p + in.len;
    char *at = buf_room(scratch, in.len);
    char *from = at;
    while (p < end) {
        if (*p != '\\') {
            *at++ = *p++;
            continue;
        }
        p++;
        uint32_t c = read_escape(&p, end);
        if (is_high(c) || is_low(c))
            return false;
        at += encode_utf8(at, c);
    }
    *out = span_of(from, (size_t)(at - from));
    scratch->len += out->len;
    return true;
}

static size_t escape_char(char *out, unsigned char c)
{
    static const char names[] = "btn\0fr"; // from 0x08 on; 0x0b has none
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    if (c >= 0x08 && c <= 0x0d && names[c - 8]) {
        out[1] = names[c - 8];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

void json_escape(struct buf *out, struct span bytes)
{
    size_t plain = 0;
    if (!bytes.len)
        return; // p may be NULL
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(out, bytes.p + plain, i - plain);
        out->len += escape_char(buf_room(out, 6), c);
        plain = i + 1;
    }
    buf_add(out, bytes.p + plain, bytes.len - plain);
}

void json_quote(struct buf *out, struct span bytes)
{
    buf_add_char(out, '"');
    json_escape(out, bytes);
    buf_add_char(out, '"');
}
