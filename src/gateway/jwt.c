/* Tokens: parts, signature, claims; in this order. */
#include "base/base.h"

#include "gateway/jwt.h"

#include <math.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"

enum { MEMBERS_MAX = 256, ID_MAX = 200 };

static const char *const details[JWT_RESULTS] = {
#define JWT(name, detail, sentence) detail,
#include "gateway/jwt_results.def"
#undef JWT
};

static const char *const sentences[JWT_RESULTS] = {
#define JWT(name, detail, sentence) sentence,
#include "gateway/jwt_results.def"
#undef JWT
};

const char *jwt_detail(enum jwt_result result)
{
    return details[result];
}

const char *jwt_sentence(enum jwt_result result)
{
    return sentences[result];
}

void caller_fini(struct caller *c)
{
    buf_fini(&c->text);
    *c = (struct caller){0};
}

static struct span add_copy(struct buf *text, struct span part)
{
    size_t at = text->len;
    buf_add_span(text, part);
    return span_of(text->p + at, part.len);
}

void caller_copy(struct caller *to, const struct caller *from)
{
    *to = (struct caller){.is_known = from->is_known, .expires_s = from->expires_s};
    if (!from->is_known)
        return;
    (void)buf_room(&to->text,
        from->claims.raw.len + from->id.len + from->name.len + from->role.len + 1); // stays put
    bool ok = json_parse(add_copy(&to->text, from->claims.raw), &to->claims);
    ENSURE(ok);
    to->id = add_copy(&to->text, from->id);
    to->name = add_copy(&to->text, from->name);
    to->role = add_copy(&to->text, from->role);
}

void jwt_rules_fini(struct jwt_rules *rules)
{
    for (size_t i = 0; i < rules->n_keys; i++)
        jwt_key_fini(&rules->keys[i]);
    free(rules->keys);
    free(rules->issuer);
    free(rules->audience);
    free(rules->default_role);
    for (int i = 0; i < JWT_CLAIM_NAMES; i++) {
        free(rules->id_claims[i]);
        free(rules->name_claims[i]);
        free(rules->role_claims[i]);
    }
    *rules = (struct jwt_rules){0};
}

/* --- JSON of a token ------------------------------------------------------------------------------ */

/* An object in which no name stands twice: two readers could take different ones. */
static bool parse_object(struct span text, struct json *object)
{
    struct json names[MEMBERS_MAX];
    struct json item;
    struct buf scratch = {0};
    struct span decoded[MEMBERS_MAX];
    size_t n = 0;
    size_t at = 0;
    bool is_good = json_parse(text, object) && object->kind == JSON_OBJECT;
    (void)buf_room(&scratch, text.len + 1); // decoded names stay where they are
    while (is_good && json_next_member(object, &at, &names[n], &item)) {
        is_good = json_decode(&names[n], &scratch, &decoded[n]);
        for (size_t i = 0; is_good && i < n; i++)
            is_good = !span_eq(decoded[i], decoded[n]);
        if (++n == MEMBERS_MAX)
            is_good = false;
    }
    buf_fini(&scratch);
    return is_good;
}

struct json jwt_claim(const struct json *claims, const char *name)
{
    struct json_field field = {name, {0}};
    if (claims->kind == JSON_OBJECT)
        json_fields(claims, &field, 1);
    return field.value;
}

/* --- parts ------------------------------------------------------------------------------------------- */

struct parts {
    struct span signed_text; // header and payload with their dot
    struct span header, payload, signature;
};

static bool cut(struct span token, struct parts *out)
{
    const char *first = token.len ? memchr(token.p, '.', token.len) : NULL;
    if (!first)
        return false;
    out->header = span_of(token.p, (size_t)(first - token.p));
    struct span rest = span_from(token, out->header.len + 1);
    const char *second = rest.len ? memchr(rest.p, '.', rest.len) : NULL;
    if (!second)
        return false;
    out->payload = span_of(rest.p, (size_t)(second - rest.p));
    out->signature = span_from(rest, out->payload.len + 1);
    out->signed_text = span_of(token.p, token.len - out->signature.len - 1);
    return out->header.len && out->signature.len &&
           !memchr(out->signature.p, '.', out->signature.len);
}

struct header {
    struct span alg; // decoded
    struct span kid; // decoded; p NULL = none
    struct buf text;
};

static enum jwt_result read_header(struct span bytes, struct header *out)
{
    struct json root;
    if (!utf8_is_valid(bytes) || !parse_object(bytes, &root))
        return JWT_BAD_HEADER;
    struct json alg = jwt_claim(&root, "alg");
    struct json kid = jwt_claim(&root, "kid");
    if (jwt_claim(&root, "crit").kind != JSON_ABSENT || jwt_claim(&root, "b64").kind != JSON_ABSENT)
        return JWT_CRITICAL;
    (void)buf_room(&out->text, bytes.len + 1);
    if (alg.kind != JSON_STRING || !json_decode(&alg, &out->text, &out->alg))
        return JWT_BAD_HEADER;
    if (kid.kind == JSON_ABSENT)
        return JWT_OK;
    return kid.kind == JSON_STRING && json_decode(&kid, &out->text, &out->kid) ? JWT_OK
                                                                               : JWT_BAD_HEADER;
}

/* --- keys ----------------------------------------------------------------------------------------------- */

static bool has_kid(const struct jwt_key *key, struct span kid)
{
    return key->kid && span_is(kid, key->kid);
}

/* With a kid that some key has, that key alone is tried; with one that no key has, those
 * without a kid; without, every key of the algorithm. */
static enum jwt_result try_keys(const struct jwt_key *keys, size_t n, const struct header *header,
    struct span text, struct span signature)
{
    enum jwt_alg alg;
    bool is_named = false;
    bool was_candidate = false;
    bool has_alg = false;
    if (!jwt_alg_find(header->alg, &alg))
        return JWT_BAD_ALG;
    for (size_t i = 0; header->kid.p && i < n; i++)
        is_named |= has_kid(&keys[i], header->kid);
    for (size_t i = 0; i < n; i++) {
        if (is_named ? !has_kid(&keys[i], header->kid) : header->kid.p && keys[i].kid)
            continue;
        was_candidate = true;
        if (keys[i].alg != alg)
            continue;
        has_alg = true;
        if (jwt_key_verify(&keys[i], text, signature))
            return JWT_OK;
    }
    if (!was_candidate)
        return JWT_UNKNOWN_KEY;
    return has_alg ? JWT_BAD_SIGNATURE : JWT_BAD_ALG;
}

enum jwt_result jws_verify(
    const struct jwt_key *keys, size_t n_keys, struct span token, struct buf *payload)
{
    struct parts parts;
    struct header header = {0};
    struct buf bytes = {0};
    struct buf signature = {0};
    enum jwt_result result = JWT_MALFORMED;
    if (token.len > JWT_MAX)
        return JWT_TOO_LONG;
    if (cut(token, &parts) && base64url_decode(parts.header, &bytes) &&
        base64url_decode(parts.payload, payload) && base64url_decode(parts.signature, &signature))
        result = read_header(buf_span(&bytes), &header);
    if (result == JWT_OK)
        result = try_keys(keys, n_keys, &header, parts.signed_text, buf_span(&signature));
    buf_fini(&bytes);
    buf_fini(&signature);
    buf_fini(&header.text);
    return result;
}

/* --- claims ------------------------------------------------------------------------------------------------ */

static bool read_time(const struct json *value, double *out)
{
    char text[40];
    if (value->kind != JSON_NUMBER || value->raw.len >= sizeof text)
        return false;
    memcpy(text, value->raw.p, value->raw.len);
    text[value->raw.len] = '\0';
    *out = strtod(text, NULL);
    return isfinite(*out) && *out >= 0 && *out < 1e12;
}

static enum jwt_result check_times(
    const struct jwt_rules *rules, const struct json *claims, int64_t now_s, struct caller *out)
{
    static const char *const starts[] = {"nbf", "iat"};
    double time;
    struct json exp = jwt_claim(claims, "exp");
    if (!read_time(&exp, &time))
        return JWT_NO_EXPIRY;
    out->expires_s = (int64_t)time;
    if ((double)now_s >= time + rules->leeway_s)
        return JWT_EXPIRED;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        struct json start = jwt_claim(claims, starts[i]);
        if (start.kind == JSON_ABSENT)
            continue;
        if (!read_time(&start, &time) || time > (double)now_s + rules->leeway_s)
            return JWT_TOO_EARLY;
    }
    return JWT_OK;
}

/* A string, or a whole number as its digits; decoded behind what text holds. */
static bool read_text(const struct json *value, struct buf *text, struct span *out)
{
    if (value->kind == JSON_STRING)
        return json_decode(value, text, out) && out->len && !memchr(out->p, '\0', out->len);
    if (value->kind != JSON_NUMBER)
        return false;
    for (size_t i = 0; i < value->raw.len; i++)
        if (value->raw.p[i] < '0' || value->raw.p[i] > '9')
            return false;
    *out = value->raw;
    return true;
}

static bool holds(const struct json *value, const char *wanted, struct buf *text)
{
    struct json item;
    struct span word;
    size_t at = 0;
    if (value->kind == JSON_STRING)
        return json_decode(value, text, &word) && span_is(word, wanted);
    while (value->kind == JSON_ARRAY && json_next(value, &at, &item))
        if (item.kind == JSON_STRING && json_decode(&item, text, &word) && span_is(word, wanted))
            return true;
    return false;
}

static bool first_of(char *const names[JWT_CLAIM_NAMES], const struct json *claims,
    struct buf *text, struct span *out)
{
    for (int i = 0; i < JWT_CLAIM_NAMES && names[i]; i++) {
        struct json value = jwt_claim(claims, names[i]);
        if (value.kind != JSON_ABSENT && value.kind != JSON_NULL)
            return read_text(&value, text, out);
    }
    return false;
}

static enum jwt_result check_claims(
    const struct jwt_rules *rules, const struct json *claims, struct caller *out)
{
    struct json type = jwt_claim(claims, "type");
    struct json issuer = jwt_claim(claims, "iss");
    struct json audience = jwt_claim(claims, "aud");
    if (holds(&type, "refresh", &out->text))
        return JWT_REFRESH;
    if (rules->issuer && (issuer.kind != JSON_STRING || !holds(&issuer, rules->issuer, &out->text)))
        return JWT_BAD_ISSUER;
    if (rules->audience && !holds(&audience, rules->audience, &out->text))
        return JWT_BAD_AUDIENCE;
    if (!first_of(rules->id_claims, claims, &out->text, &out->id) || out->id.len > ID_MAX)
        return JWT_NO_SUBJECT;
    if (!first_of(rules->name_claims, claims, &out->text, &out->name))
        out->name = out->id;
    if (!first_of(rules->role_claims, claims, &out->text, &out->role))
        out->role = span_str(rules->default_role);
    return JWT_OK;
}

enum jwt_result jwt_verify(
    const struct jwt_rules *rules, struct span token, int64_t now_s, struct caller *out)
{
    *out = (struct caller){0};
    enum jwt_result result = jws_verify(rules->keys, rules->n_keys, token, &out->text);
    size_t n = out->text.len;
    if (result == JWT_OK) {
        /* Decoded strings follow the payload, of which the claims are slices: neither moves. */
        (void)buf_room(&out->text, 8 * n + 64);
        if (!utf8_is_valid(buf_span(&out->text)) ||
            !parse_object(buf_span(&out->text), &out->claims))
            result = JWT_BAD_PAYLOAD;
    }
    if (result == JWT_OK)
        result = check_times(rules, &out->claims, now_s, out);
    if (result == JWT_OK)
        result = check_claims(rules, &out->claims, out);
    if (result == JWT_OK)
        out->is_known = true;
    else
        caller_fini(out);
    return result;
}

void jwt_mint(const struct jwt_key *key, struct span claims, struct buf *out)
{
    unsigned char mac[JWT_MAC_MAX];
    struct buf header = {0};
    size_t start = out->len;
    buf_addf(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", jwt_alg_name(key->alg));
    if (key->kid) {
        buf_add_str(&header, ",\"kid\":");
        json_quote(&header, span_str(key->kid));
    }
    buf_add_char(&header, '}');
    base64url_encode(buf_span(&header), out);
    buf_add_char(out, '.');
    base64url_encode(claims, out);
    size_t n = jwt_key_sign(key, span_of(out->p + start, out->len - start), mac);
    buf_add_char(out, '.');
    base64url_encode(span_of((const char *)mac, n), out);
    buf_fini(&header);
}
