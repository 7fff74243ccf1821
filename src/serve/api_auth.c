/* Signed requests: every variant that an official library sends is verified, no other. */
#include "base/base.h"

#include "serve/api_auth.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"

enum { PARAMS_MAX = 64 };

struct param {
    struct span name, value; // decoded, in scratch or in the query
};

struct params {
    struct param v[PARAMS_MAX];
    size_t n;
    bool has_plus;
};

static bool needs_decoding(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '%' || s.p[i] == '+' || (s.p[i] >= 'A' && s.p[i] <= 'Z'))
            return true;
    return false;
}

static bool decode(struct span in, bool plus_is_blank, struct buf *scratch, struct span *out)
{
    size_t from = scratch->len;
    *out = in;
    if (!needs_decoding(in))
        return true;
    if (!http_decode(in, plus_is_blank, scratch))
        return false;
    *out = span_of(scratch->p + from, scratch->len - from);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct span *x = &((const struct param *)a)->name;
    const struct span *y = &((const struct param *)b)->name;
    int order = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Insertion sort: a dozen parameters, nearly sorted, and stable. */
static void sort(struct params *params)
{
    for (size_t i = 1; i < params->n; i++) {
        struct param p = params->v[i];
        size_t k = i;
        for (; k > 0 && by_name(&params->v[k - 1], &p) > 0; k--)
            params->v[k] = params->v[k - 1];
        params->v[k] = p;
    }
}

/* Decodes and sorts.  Names are signed in lower case. */
static bool read_params(
    struct span query, bool plus_is_blank, struct buf *scratch, struct params *params)
{
    struct param p;
    scratch->len = 0;
    (void)buf_room(scratch, query.len + 1); // so that slices of it stay where they are
    params->n = 0;
    params->has_plus = query.len && memchr(query.p, '+', query.len);
    while (http_next_param(&query, &p.name, &p.value)) {
        if (params->n == PARAMS_MAX)
            return false;
        size_t from = scratch->len;
        bool is_changed = needs_decoding(p.name);
        if (!decode(p.name, plus_is_blank, scratch, &p.name))
            return false;
        for (size_t i = from; is_changed && i < scratch->len; i++)
            if (scratch->p[i] >= 'A' && scratch->p[i] <= 'Z')
                scratch->p[i] = (char)(scratch->p[i] + ('a' - 'A'));
        if (!decode(p.value, plus_is_blank, scratch, &p.value))
            return false;
        params->v[params->n++] = p;
    }
    sort(params);
    return true;
}

static struct span find(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (span_is(params->v[i].name, name))
            return params->v[i].value;
    return span_of(NULL, 0);
}

/* METHOD \n path \n sorted query, without the signature. */
static void add_string(
    struct buf *out, struct span method, struct span path, const struct params *params)
{
    bool is_first = true;
    out->len = 0;
    buf_add_span(out, method);
    buf_add_char(out, '\n');
    buf_add_span(out, path);
    buf_add_char(out, '\n');
    for (size_t i = 0; i < params->n; i++) {
        if (span_is(params->v[i].name, "auth_signature"))
            continue;
        if (!is_first)
            buf_add_char(out, '&');
        is_first = false;
        buf_add_span(out, params->v[i].name);
        buf_add_char(out, '=');
        buf_add_span(out, params->v[i].value);
    }
}

static bool try_path(const struct api_auth *a, const struct app_key *key,
    const struct params *params, struct span path, struct buf *text)
{
    add_string(text, a->method, path, params);
    struct span signed_text = buf_span(text);
    return sign_check(&key->sign, &signed_text, 1, find(params, "auth_signature"));
}

/* Libraries differ in which form of the path they sign: Node the decoded one, PHP one
 * without the prefix it is mounted under, others what is on the wire. */
static bool try_paths(const struct api_auth *a, const struct app_key *key,
    const struct params *params, struct buf *text)
{
    struct buf decoded = {0};
    bool ok = try_path(a, key, params, a->path, text);
    if (!ok && http_decode(a->path, false, &decoded))
        ok = try_path(a, key, params, buf_span(&decoded), text);
    if (!ok && a->full_path.len != a->path.len) {
        ok = try_path(a, key, params, a->full_path, text);
        decoded.len = 0;
        if (!ok && http_decode(a->full_path, false, &decoded))
            ok = try_path(a, key, params, buf_span(&decoded), text);
    }
    buf_fini(&decoded);
    return ok;
}

static bool refuse_signature(const struct api_auth *a, const struct params *params, struct err *err)
{
    struct buf text = {0};
    struct buf shown = {0};
    struct buf path = {0};
    if (!http_decode(a->path, false, &path)) {
        path.len = 0;
        buf_add_span(&path, a->path);
    }
    add_string(&text, a->method, buf_span(&path), params);
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\n')
            buf_add_str(&shown, "\\n");
        else if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            buf_add_char(&shown, '?');
        else
            buf_add_char(&shown, text.p[i]);
    }
    struct span given = find(params, "auth_signature");
    if (given.len > 128)
        given.len = 128;
    if (shown.len > 700)
        shown.len = 700;
    err_set(err, 401,
        "Invalid signature: you should have sent HmacSHA256Hex(\"%.*s\", your_secret_key), but "
        "you sent \"%.*s\"",
        SPAN(buf_span(&shown)), SPAN(given));
    buf_fini(&text);
    buf_fini(&shown);
    buf_fini(&path);
    return false;
}

static bool check_timestamp(const struct api_auth *a, struct span given, struct err *err)
{
    char then[21];
    char now[21];
    uint64_t at;
    if (!text_to_u64(given, &at) || at > INT64_MAX / 2000)
        return err_set(err, 401, "Invalid auth_timestamp: it must be a UNIX time in seconds");
    int64_t off = a->now_s - (int64_t)at;
    if (!a->window_s || (off <= (int64_t)a->window_s && off >= -(int64_t)a->window_s))
        return true;
    clock_format_s((int64_t)at, then);
    clock_format_s(a->now_s, now);
    return err_set(err, 401,
        "Timestamp expired: Given timestamp (%s) not within %us of server time (%s)", then,
        a->window_s, now);
}

static bool check_md5(const struct api_auth *a, struct span given, struct err *err)
{
    char want[MD5_HEX];
    if (!given.p)
        return !a->body.len ||
               err_set(err, 401, "Missing parameter: body_md5 is required with a body");
    sign_md5_hex(a->body, want);
    if (given.len == sizeof want) {
        /* Not a secret: it is in the query, and the query is signed. */
        bool same = true;
        for (size_t i = 0; i < sizeof want; i++)
            same &= (given.p[i] | 0x20) == (want[i] | 0x20);
        if (same)
            return true;
    }
    return err_set(err, 401, "Invalid body_md5: it is not the MD5 of the body that was sent");
}

static bool check_present(const struct params *params, struct err *err)
{
    static const char *const names[] = {
        "auth_key", "auth_timestamp", "auth_version", "auth_signature"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!find(params, names[i]).len)
            return err_set(err, 401, "Missing parameter: %s", names[i]);
    return true;
}

bool api_auth_check(const struct api_auth *a, struct buf *scratch, struct err *err)
{
    struct params params;
    struct buf text = {0};
    if (!read_params(a->query, false, scratch, &params))
        return err_set(err, 400, "Invalid query string");
    if (!check_present(&params, err))
        return false;
    const struct app_key *key = app_key_find(a->app, find(&params, "auth_key"));
    if (!key)
        return err_set(err, 401, "Unknown auth_key");
    if (!span_is(find(&params, "auth_version"), "1.0"))
        return err_set(err, 401, "Invalid auth_version: only 1.0 is known");
    bool ok = try_paths(a, key, &params, &text);
    if (!ok && params.has_plus && read_params(a->query, true, scratch, &params))
        ok = try_paths(a, key, &params, &text);
    buf_fini(&text);
    if (!ok)
        return refuse_signature(a, &params, err);
    return check_timestamp(a, find(&params, "auth_timestamp"), err) &&
           check_md5(a, find(&params, "body_md5"), err);
}

bool api_param(struct span query, const char *name, struct buf *out)
{
    struct span key;
    struct span value;
    struct buf decoded = {0};
    bool is_found = false;
    while (!is_found && http_next_param(&query, &key, &value)) {
        decoded.len = 0;
        is_found = http_decode(key, false, &decoded) && span_is(buf_span(&decoded), name) &&
                   http_decode(value, false, out);
    }
    buf_fini(&decoded);
    return is_found;
}
