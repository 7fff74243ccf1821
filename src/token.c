/* Claims from flags, signed. */
#include "base/base.h"

#include "token.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "wire/json.h"

enum { SUB, ROLE, NAME, TTL, KID };

struct own_flag token_flags[] = {
    {"--sub", NULL}, {"--role", NULL}, {"--name", NULL}, {"--ttl", NULL}, {"--kid", NULL}, {0}};

/* "90", "90s", "15m", "2h" or "7d" in seconds. */
static bool read_ttl(const char *text, uint64_t *seconds)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct span digits = span_str(text);
    uint64_t factor = 1;
    for (size_t i = 0; i < COUNT_OF(units) && digits.len; i++)
        if (digits.p[digits.len - 1] == units[i].letter) {
            factor = units[i].seconds;
            digits.len--;
            break;
        }
    if (!text_to_u64(digits, seconds) || *seconds == 0 || *seconds > 10ULL * 365 * 86400 / factor)
        return false;
    *seconds *= factor;
    return true;
}

static const struct jwt_key *find_key(const struct gateway *g, const char *kid)
{
    for (size_t i = 0; i < g->jwt.n_keys; i++) {
        const struct jwt_key *key = &g->jwt.keys[i];
        bool is_wanted = !kid || (key->kid && strcmp(key->kid, kid) == 0);
        if (key->secret && is_wanted)
            return key;
    }
    return NULL;
}

static bool is_role(const struct gateway *g, const char *word)
{
    for (size_t i = 0; i < g->policy.roles.n; i++)
        if (strcmp(g->policy.roles.list[i].name, word) == 0)
            return true;
    return false;
}

static void add_claim(struct buf *out, const char *name, const char *value)
{
    json_quote(out, span_str(name));
    buf_add_char(out, ':');
    json_quote(out, span_str(value));
    buf_add_char(out, ',');
}

/* The claims under the names that the configuration reads them by. */
static void add_claims(
    const struct gateway *g, const struct own_flag *own, uint64_t ttl_s, struct buf *out)
{
    int64_t now_s = clock_wall_ms() / 1000;
    buf_add_char(out, '{');
    add_claim(out, g->jwt.id_claims[0], own[SUB].value);
    if (own[NAME].value && g->jwt.name_claims[0])
        add_claim(out, g->jwt.name_claims[0], own[NAME].value);
    if (own[ROLE].value && g->jwt.role_claims[0])
        add_claim(out, g->jwt.role_claims[0], own[ROLE].value);
    if (g->jwt.issuer)
        add_claim(out, "iss", g->jwt.issuer);
    if (g->jwt.audience)
        add_claim(out, "aud", g->jwt.audience);
    buf_addf(
        out, "\"iat\":%lld,\"exp\":%lld}", (long long)now_s, (long long)now_s + (long long)ttl_s);
}

static bool mint(const struct config *config, const struct own_flag *own, struct err *err)
{
    uint64_t ttl_s = 15ULL * 60;
    struct buf claims = {0};
    struct buf token = {0};
    const struct gateway *g = config->gateway;
    const struct jwt_key *key = g ? find_key(g, own[KID].value) : NULL;
    if (!g)
        return err_set(err, 0, "the configuration has no gateway");
    if (!key)
        return err_set(err, 0,
            own[KID].value ? "no key with a secret has that --kid"
                           : "no key of the gateway has a secret to sign with");
    if (!own[SUB].value || !own[SUB].value[0])
        return err_set(err, 0, "--sub is missing: whose token is it?");
    if (own[TTL].value && !read_ttl(own[TTL].value, &ttl_s))
        return err_set(err, 0, "--ttl: '%s' is no duration as 90s, 15m, 2h or 7d", own[TTL].value);
    if (own[ROLE].value && !is_role(g, own[ROLE].value))
        fprintf(stderr, "carillon: note: '%s' is none of gateway.auth.roles\n", own[ROLE].value);
    add_claims(g, own, ttl_s, &claims);
    jwt_mint(key, buf_span(&claims), &token);
    printf("%.*s\n", SPAN(buf_span(&token)));
    buf_fini(&claims);
    buf_fini(&token);
    return true;
}

int token_print(const struct config_args *args, const struct own_flag *own)
{
    struct err err;
    struct config *config = config_load(args, &err);
    bool ok = config && mint(config, own, &err);
    if (!ok)
        fprintf(stderr, "carillon: %s\n", err.text);
    config_drop(config);
    return ok ? 0 : 1;
}
