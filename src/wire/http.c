/* Strict HTTP/1.1 request heads, chunked bodies, queries. */
#include "base/base.h"

#include "wire/http.h"

#include "base/text.h"

/* token characters of RFC 9110 5.6.2 */
static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_value_char(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static struct span trim(struct span s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = span_from(s, 1);
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool http_has_token(struct span value, const char *lower)
{
    while (value.len) {
        const char *comma = memchr(value.p, ',', value.len);
        size_t n = comma ? (size_t)(comma - value.p) : value.len;
        if (text_eq_nocase(trim(span_of(value.p, n)), lower))
            return true;
        value = span_from(value, comma ? n + 1 : n);
    }
    return false;
}

/* Finds the empty line that ends a head.  A line that ends in a bare LF is BAD at once: its
 * sender may believe that the head is over. */
static enum http_result find_end(struct span in, size_t *scanned, size_t *end)
{
    size_t from = *scanned;
    for (;;) {
        const char *lf = from < in.len ? memchr(in.p + from, '\n', in.len - from) : NULL;
        if (!lf) {
            *scanned = in.len;
            return HTTP_MORE;
        }
        size_t at = (size_t)(lf - in.p);
        if (at == 0 || in.p[at - 1] != '\r')
            return HTTP_BAD;
        if (at >= 3 && in.p[at - 2] == '\n') {
            *end = at + 1;
            return HTTP_OK;
        }
        from = at + 1;
        *scanned = from;
    }
}

/* Up to the next CR.  False when no LF follows it: such a CR would hide a line's rest from one
 * of two readers. */
static bool next_line(struct span *rest, struct span *line)
{
    const char *cr = memchr(rest->p, '\r', rest->len);
    size_t n = cr ? (size_t)(cr - rest->p) : rest->len;
    *line = span_of(rest->p, n);
    bool ok = rest->len >= n + 2 && rest->p[n + 1] == '\n';
    *rest = span_from(*rest, n + 2);
    return ok;
}

static enum http_method method_of(struct span name)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "OPTIONS", "DELETE"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_is(name, names[i]))
            return (enum http_method)i;
    return HTTP_OTHER;
}

static bool split_word(struct span *rest, struct span *word)
{
    const char *blank = memchr(rest->p, ' ', rest->len);
    if (!blank)
        return false;
    *word = span_of(rest->p, (size_t)(blank - rest->p));
    *rest = span_from(*rest, word->len + 1);
    return word->len > 0;
}

/* How long the scheme of an absolute form is, with its slashes; 0 = it has none. */
static size_t scheme_of(struct span target)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (target.len > n && text_eq_nocase(span_of(target.p, n), schemes[i]))
            return n;
    }
    return 0;
}

/* Origin form, absolute form, or "*" of OPTIONS. */
static bool parse_target(struct http_head *head, struct span target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.p[i] <= 0x20 || target.p[i] >= 0x7f || target.p[i] == '#')
            return false;
    size_t scheme = scheme_of(target);
    if (scheme) {
        size_t n = scheme;
        while (n < target.len && target.p[n] != '/' && target.p[n] != '?')
            n++;
        if (n == scheme)
            return false; // no host
        target = span_from(target, n);
    } else if (target.p[0] != '/' && !(head->method == HTTP_OPTIONS && span_is(target, "*"))) {
        return false;
    }
    const char *mark = target.len ? memchr(target.p, '?', target.len) : NULL;
    size_t n = mark ? (size_t)(mark - target.p) : target.len;
    head->path = n ? span_of(target.p, n) : span_str("/"); // RFC 9110 4.2.3
    head->query = span_from(target, mark ? n + 1 : n);
    return true;
}

static int parse_request_line(struct http_head *head, struct span line)
{
    struct span target;
    if (!split_word(&line, &head->method_name) || !split_word(&line, &target))
        return 400;
    for (size_t i = 0; i < head->method_name.len; i++)
        if (!is_token(head->method_name.p[i]))
            return 400;
    head->method = method_of(head->method_name);
    if (line.len != 8 || !span_starts(line, "HTTP/") || line.p[6] != '.')
        return 400;
    if (line.p[5] < '0' || line.p[5] > '9' || line.p[7] < '0' || line.p[7] > '9')
        return 400;
    if (line.p[5] != '1' || line.p[7] > '1')
        return 505;
    head->minor = (unsigned)(line.p[7] - '0');
    return parse_target(head, target) ? 0 : 400;
}

/* What the repeated or contradictory forms of a header do not tell by themselves. */
struct seen {
    bool host, length, coding;
    bool close, keep_alive, upgrade, websocket;
};

static bool is_host(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] <= 0x20 || value.p[i] >= 0x7f || strchr("/\\@?#,<>\"{}|^`", value.p[i]))
            return false;
    return true;
}

static int take_framing(
    struct http_head *head, struct seen *seen, struct span name, struct span value)
{
    if (text_eq_nocase(name, "content-length")) {
        if (seen->length || !text_to_u64(value, &head->length))
            return 400;
        seen->length = head->has_length = true;
    } else if (text_eq_nocase(name, "transfer-encoding")) {
        if (seen->coding || !text_eq_nocase(value, "chunked"))
            return 400;
        seen->coding = head->is_chunked = true;
    } else if (text_eq_nocase(name, "host")) {
        if (seen->host || !is_host(value))
            return 400;
        seen->host = true;
        head->host = value;
    } else if (text_eq_nocase(name, "connection")) {
        seen->close |= http_has_token(value, "close");
        seen->keep_alive |= http_has_token(value, "keep-alive");
        seen->upgrade |= http_has_token(value, "upgrade");
    } else if (text_eq_nocase(name, "expect")) {
        if (!text_eq_nocase(value, "100-continue"))
            return 417;
        head->expects_continue = true;
    }
    return 0;
}

/* Headers of which only the value matters; the first one counts, a second is refused. */
static int take_value(
    struct http_head *head, struct seen *seen, struct span name, struct span value)
{
    struct {
        const char *name;
        struct span *to;
    } known[] = {
        {"origin", &head->origin},
        {"content-type", &head->content_type},
        {"authorization", &head->authorization},
        {"sec-websocket-key", &head->ws_key},
        {"sec-websocket-version", &head->ws_version},
        {"access-control-request-headers", &head->request_headers},
        {"x-socket-id", &head->socket_id},
        {"x-idempotency-key", &head->idempotency_key},
        {"last-event-id", &head->last_event_id},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!text_eq_nocase(name, known[i].name))
            continue;
        if (known[i].to->p)
            return 400;
        *known[i].to = value;
    }
    if (text_eq_nocase(name, "upgrade"))
        seen->websocket |= http_has_token(value, "websocket");
    else if (text_eq_nocase(name, "sec-websocket-protocol") && !head->ws_protocol.p)
        head->ws_protocol = value; // may be sent as several headers: the first offer decides
    else if (text_eq_nocase(name, "cookie") && !head->cookie.p)
        head->cookie = value;
    return 0;
}

static int take_header(struct http_head *head, struct seen *seen, struct span line)
{
    size_t n = 0;
    while (n < line.len && is_token(line.p[n]))
        n++;
    if (n == 0 || n == line.len || line.p[n] != ':')
        return 400; // also a folded line, and a blank before the colon
    struct span name = span_of(line.p, n);
    struct span value = span_from(line, n + 1);
    for (size_t i = 0; i < value.len; i++)
        if (!is_value_char((unsigned char)value.p[i]))
            return 400;
    value = trim(value);
    int status = take_framing(head, seen, name, value);
    return status ? status : take_value(head, seen, name, value);
}

static int finish_head(struct http_head *head, const struct seen *seen)
{
    if (seen->length && seen->coding)
        return 400;
    if (seen->coding && head->minor == 0)
        return 400;
    if (!seen->host && head->minor == 1)
        return 400;
    head->is_keep_alive = !seen->close && (head->minor == 1 || seen->keep_alive);
    head->wants_websocket = seen->upgrade && seen->websocket && head->minor == 1;
    return 0;
}

static int parse_head(struct span all, const struct http_limits *limits, struct http_head *head)
{
    struct seen seen = {0};
    unsigned n = 0;
    struct span rest = span_of(all.p, all.len - 2); // without the empty line
    struct span line;
    memset(head, 0, sizeof *head);
    int status = next_line(&rest, &line) ? parse_request_line(head, line) : 400;
    while (!status && rest.len) {
        if (++n > limits->headers)
            return 431;
        if (!next_line(&rest, &line))
            return 400;
        status = take_header(head, &seen, line);
    }
    return status ? status : finish_head(head, &seen);
}

enum http_result http_head(struct span in, const struct http_limits *limits, size_t *scanned,
    struct http_head *head, size_t *used, int *status)
{
    size_t end = 0;
    /* Empty lines before a request are forgiven (RFC 9112 2.2). */
    size_t skip = 0;
    while (in.len - skip >= 2 && in.p[skip] == '\r' && in.p[skip + 1] == '\n')
        skip += 2;
    struct span text = span_from(in, skip);
    size_t seen = *scanned > skip ? *scanned - skip : 0;
    *status = 400;
    enum http_result result = find_end(text, &seen, &end);
    *scanned = seen + skip;
    if (result == HTTP_BAD)
        return HTTP_BAD;
    size_t have = result == HTTP_OK ? end : text.len;
    if (skip + have > limits->head_bytes) {
        const char *line = memchr(text.p, '\n', text.len);
        *status = line && (size_t)(line - text.p) < limits->head_bytes ? 431 : 414;
        return HTTP_BAD;
    }
    if (result == HTTP_MORE)
        return HTTP_MORE;
    *used = skip + end;
    *status = parse_head(span_of(text.p, end), limits, head);
    return *status ? HTTP_BAD : HTTP_OK;
}

/* --- chunked bodies ------------------------------------------------------------------- */

enum {
    CHUNK_SIZE,
    EXTENSION_NAME,
    EXTENSION_EQUALS, // behind a name's first character
    EXTENSION_VALUE,
    EXTENSION_TOKEN,
    EXTENSION_QUOTED,
    EXTENSION_ESCAPED,
    EXTENSION_END, // behind the quotes
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END,
    CHUNK_LINE_MAX = 1024,
    CHUNK_TRAILER_MAX = 8192,
    CHUNK_DIGITS_MAX = 15
};

static bool take_size_char(struct http_chunked *c, char ch)
{
    int digit = text_unhex(ch);
    if (digit >= 0) {
        c->left = c->left << 4 | (uint64_t)digit;
        return ++c->n_line <= CHUNK_DIGITS_MAX;
    }
    if (c->n_line == 0 || (ch != '\r' && ch != ';'))
        return false;
    c->state = ch == '\r' ? CHUNK_SIZE_LF : EXTENSION_NAME;
    return true;
}

/* Extensions mean nothing here, but another server on the way may read them: they are
 * what RFC 9112 7.1.1 says, or the request is refused.  No blanks: nobody sends them. */
static bool take_extension_char(struct http_chunked *c, char ch)
{
    bool is_end = ch == '\r' || ch == ';';
    if (++c->n_line >= CHUNK_LINE_MAX)
        return false;
    switch (c->state) {
    case EXTENSION_NAME:
        c->state = EXTENSION_EQUALS;
        return is_token(ch);
    case EXTENSION_EQUALS:
        if (ch == '=')
            c->state = EXTENSION_VALUE;
        else if (is_end)
            break;
        return ch == '=' || is_token(ch);
    case EXTENSION_VALUE:
        c->state = ch == '"' ? EXTENSION_QUOTED : EXTENSION_TOKEN;
        return ch == '"' || is_token(ch);
    case EXTENSION_QUOTED:
        if (ch == '"' || ch == '\\')
            c->state = ch == '"' ? EXTENSION_END : EXTENSION_ESCAPED;
        return is_value_char((unsigned char)ch);
    case EXTENSION_ESCAPED:
        c->state = EXTENSION_QUOTED;
        return is_value_char((unsigned char)ch);
    case EXTENSION_TOKEN:
        if (is_end)
            break;
        return is_token(ch);
    default: // EXTENSION_END
        if (!is_end)
            return false;
        break;
    }
    c->state = ch == '\r' ? CHUNK_SIZE_LF : EXTENSION_NAME;
    return true;
}

/* Trailer fields are read as strictly as headers and then forgotten.  left counts their
 * bytes, n_line those of the present name. */
static bool take_trailer_char(struct http_chunked *c, char ch, bool *done)
{
    if (++c->left > CHUNK_TRAILER_MAX)
        return false;
    switch (c->state) {
    case TRAILER_NAME:
        if (ch == '\r' && c->n_line == 0)
            c->state = TRAILER_END;
        else if (ch == ':' && c->n_line > 0)
            c->state = TRAILER_VALUE;
        else if (!is_token(ch))
            return false;
        c->n_line++;
        return true;
    case TRAILER_VALUE:
        if (ch == '\r')
            c->state = TRAILER_LF;
        return ch == '\r' || is_value_char((unsigned char)ch);
    case TRAILER_LF:
        c->state = TRAILER_NAME;
        c->n_line = 0;
        return ch == '\n';
    default:
        *done = true;
        return ch == '\n';
    }
}

/* One byte outside of chunk data.  False when it cannot stand there. */
static bool take_frame_char(struct http_chunked *c, char ch, bool *done)
{
    switch (c->state) {
    case CHUNK_SIZE:
        return take_size_char(c, ch);
    case EXTENSION_NAME:
    case EXTENSION_EQUALS:
    case EXTENSION_VALUE:
    case EXTENSION_TOKEN:
    case EXTENSION_QUOTED:
    case EXTENSION_ESCAPED:
    case EXTENSION_END:
        return take_extension_char(c, ch);
    case CHUNK_SIZE_LF:
        c->state = c->left ? CHUNK_DATA : TRAILER_NAME;
        c->n_line = 0;
        return ch == '\n';
    case CHUNK_CR:
        c->state = CHUNK_LF;
        return ch == '\r';
    case CHUNK_LF:
        c->state = CHUNK_SIZE;
        c->n_line = 0;
        return ch == '\n';
    default:
        return take_trailer_char(c, ch, done);
    }
}

enum http_result http_chunked(
    struct http_chunked *c, struct span *in, struct buf *out, size_t limit, int *status)
{
    bool done = false;
    while (in->len && !done) {
        if (c->state != CHUNK_DATA) {
            char ch = in->p[0];
            *in = span_from(*in, 1);
            if (!take_frame_char(c, ch, &done)) {
                *status = 400;
                return HTTP_BAD;
            }
            if (c->state == CHUNK_DATA && c->left > limit - out->len) {
                *status = 413;
                return HTTP_BAD;
            }
            continue;
        }
        size_t n = c->left < in->len ? (size_t)c->left : in->len;
        buf_add(out, in->p, n);
        *in = span_from(*in, n);
        c->left -= n;
        if (!c->left)
            c->state = CHUNK_CR;
    }
    return done ? HTTP_OK : HTTP_MORE;
}

/* --- queries ---------------------------------------------------------------------------- */

bool http_next_param(struct span *query, struct span *name, struct span *value)
{
    while (query->len && query->p[0] == '&')
        *query = span_from(*query, 1);
    if (!query->len)
        return false;
    const char *amp = memchr(query->p, '&', query->len);
    struct span pair = span_of(query->p, amp ? (size_t)(amp - query->p) : query->len);
    *query = span_from(*query, pair.len);
    const char *equals = memchr(pair.p, '=', pair.len);
    *name = span_of(pair.p, equals ? (size_t)(equals - pair.p) : pair.len);
    *value = span_from(pair, equals ? name->len + 1 : pair.len);
    return true;
}

bool http_decode(struct span in, bool plus_is_blank, struct buf *out)
{
    char *at = buf_room(out, in.len);
    char *from = at;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.p[i];
        if (c == '%') {
            int hi = i + 2 < in.len ? text_unhex(in.p[i + 1]) : -1;
            int lo = i + 2 < in.len ? text_unhex(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        *at++ = c;
    }
    out->len += (size_t)(at - from);
    return true;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

struct span http_origin_host(struct span origin)
{
    if (span_starts(origin, "https://"))
        return span_from(origin, 8);
    if (span_starts(origin, "http://"))
        return span_from(origin, 7);
    return span_of(NULL, 0);
}

bool http_is_same_host(struct span origin, struct span host)
{
    return host.len && span_eq(http_origin_host(origin), host);
}
