/* The gateway, as the file has it: keys, roles, pages, channel and event rules. */
#include "base/base.h"

#include "config_yaml.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "wire/json.h"

#define READER(ctx) ((struct gateway_reader *)(ctx))

/* --- secrets -------------------------------------------------------------------------------------- */

static bool read_secret_file(const struct pairs *p, char **to, size_t *len, struct err *err)
{
    char *path = NULL;
    if (!pairs_text(p, &path, err))
        return false;
    *to = read_text(path, len, err);
    free(path);
    if (!*to)
        return pairs_fail(p, err);
    while (*len && ((*to)[*len - 1] == '\n' || (*to)[*len - 1] == '\r'))
        (*to)[--*len] = '\0'; // as an editor leaves it
    return *len > 0 || pairs_refuse(p, err, "the file is empty");
}

bool gateway_secret(struct gateway_reader *r, const struct pairs *p, const char *word, char **to,
    size_t *len, struct err *err)
{
    struct span rest = span_from(p->key, strlen(word));
    if (*to)
        return pairs_refuse(p, err, "a secret stands here already");
    if (span_is(rest, "_file"))
        return read_secret_file(p, to, len, err);
    if (!pairs_text(p, to, err))
        return false;
    if (span_is(rest, "_env")) {
        const char *value = env_text(r->env, *to);
        if (!value || !value[0]) {
            (void)err_set(err, 0, "the environment has no '%s'", *to);
            return pairs_fail(p, err);
        }
        free(*to);
        *to = mem_dup_str(value);
    } else {
        r->gateway->has_inline_secret = true;
    }
    *len = strlen(*to);
    return true;
}

/* --- keys of tokens --------------------------------------------------------------------------------- */

struct key_reader {
    struct gateway_reader *r;
    char *kid, *secret, *pem;
    size_t secret_len, pem_len;
    bool has_alg;
    enum jwt_alg alg;
};

static bool key_kid(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &((struct key_reader *)ctx)->kid, err);
}

static bool key_alg(void *ctx, const struct pairs *p, struct err *err)
{
    struct key_reader *k = ctx;
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    k->has_alg = jwt_alg_find(node_text(p->value), &k->alg);
    return k->has_alg ||
           pairs_refuse(p, err,
               "expected HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
               "ES384, ES512 or EdDSA");
}

static bool key_secret(void *ctx, const struct pairs *p, struct err *err)
{
    struct key_reader *k = ctx;
    return gateway_secret(k->r, p, "secret", &k->secret, &k->secret_len, err);
}

static bool key_pem(void *ctx, const struct pairs *p, struct err *err)
{
    struct key_reader *k = ctx;
    return read_secret_file(p, &k->pem, &k->pem_len, err);
}

static struct jwt_key *add_key(struct gateway *g)
{
    g->jwt.keys = mem_array(g->jwt.keys, g->jwt.n_keys + 1, sizeof *g->jwt.keys);
    return &g->jwt.keys[g->jwt.n_keys];
}

static bool make_key(const struct key_reader *k, struct err *err)
{
    struct gateway *g = k->r->gateway;
    struct span kid = span_str(k->kid ? k->kid : "");
    if (!k->has_alg)
        return err_set(err, 0, "gateway.auth.jwt.keys: alg is missing");
    if (!k->secret == !k->pem)
        return err_set(err, 0,
            "gateway.auth.jwt.keys: a key has one of secret, secret_env, secret_file and pem_file");
    if (g->jwt.n_keys == JWT_KEYS_MAX)
        return err_set(err, 0, "gateway.auth.jwt.keys: more than %d keys", JWT_KEYS_MAX);
    bool ok =
        k->secret
            ? jwt_key_from_secret(add_key(g), k->alg, kid, span_of(k->secret, k->secret_len), err)
            : jwt_key_from_pem(add_key(g), k->alg, kid, span_of(k->pem, k->pem_len), err);
    g->jwt.n_keys += ok;
    return ok || err_wrap(err, "gateway.auth.jwt.keys");
}

static bool read_key(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct key_reader k = {.r = ctx};
    bool ok = group_read(group, f, node, &k, err);
    if (ok && !make_key(&k, err))
        ok = node_fail(f, node, err);
    if (k.secret)
        explicit_bzero(k.secret, k.secret_len);
    free(k.secret);
    free(k.kid);
    free(k.pem);
    return ok;
}

static bool read_keys(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"kid", key_kid}, {"alg", key_alg},
        {"secret", key_secret}, {"secret_env", key_secret}, {"secret_file", key_secret},
        {"pem_file", key_pem}};
    static const struct group group = {"gateway.auth.jwt.keys.", parts, COUNT_OF(parts)};
    return group_read_list(&group, p, ctx, read_key, err);
}

static bool add_jwks(struct gateway *g, const char *text, size_t len, struct err *err)
{
    struct json root;
    struct json item;
    struct json_field keys[] = {{"keys", {0}}};
    size_t at = 0;
    unsigned n_used = 0;
    if (!json_parse_fields(span_of(text, len), &root, keys, 1) || root.kind != JSON_OBJECT ||
        keys[0].value.kind != JSON_ARRAY)
        return err_set(err, 0, "not a JWK set: expected {\"keys\":[...]}");
    for (unsigned n = 1; json_next(&keys[0].value, &at, &item); n++) {
        if (g->jwt.n_keys == JWT_KEYS_MAX)
            return err_set(err, 0, "more than %d keys", JWT_KEYS_MAX);
        enum jwk_result result = jwt_key_from_jwk(add_key(g), item.raw, err);
        if (result == JWK_BAD)
            return err_wrap(err, "key %u", n);
        if (result == JWK_OTHER)
            log_event(LOG_INFO, "jwks_key_ignored", "key=%u why=\"%s\"", n, err->text);
        n_used += result == JWK_OK;
        g->jwt.n_keys += result == JWK_OK;
    }
    return n_used ||
           err_set(err, 0, "none of the set's keys is for signatures that are known here");
}

/* Read again with each reload, as the whole file is. */
static bool read_jwks(void *ctx, const struct pairs *p, struct err *err)
{
    char *text = NULL;
    size_t len;
    if (!read_secret_file(p, &text, &len, err))
        return false;
    bool ok = add_jwks(READER(ctx)->gateway, text, len, err) || pairs_fail(p, err);
    explicit_bzero(text, len);
    free(text);
    return ok;
}

static bool read_issuer(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &READER(ctx)->gateway->jwt.issuer, err);
}

static bool read_audience(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &READER(ctx)->gateway->jwt.audience, err);
}

static bool read_leeway(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_u32(p, 0, 600, &READER(ctx)->gateway->jwt.leeway_s, err);
}

static bool read_default_role(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &READER(ctx)->gateway->jwt.default_role, err);
}

static bool read_claim(char *names[JWT_CLAIM_NAMES], const struct pairs *p, struct err *err)
{
    struct span text;
    bool is_end;
    size_t at = 0;
    for (int i = 0; i < JWT_CLAIM_NAMES; i++) {
        free(names[i]);
        names[i] = NULL;
    }
    for (int i = 0; pairs_next_text(p, &at, &text, &is_end, err); i++) {
        if (is_end)
            return i > 0 || pairs_refuse(p, err, "names no claim");
        if (i == JWT_CLAIM_NAMES)
            return pairs_refuse(p, err, "names more than 4 claims");
        names[i] = mem_dup(text.p, text.len);
    }
    return false;
}

static bool claim_id(void *ctx, const struct pairs *p, struct err *err)
{
    return read_claim(READER(ctx)->gateway->jwt.id_claims, p, err);
}

static bool claim_name(void *ctx, const struct pairs *p, struct err *err)
{
    return read_claim(READER(ctx)->gateway->jwt.name_claims, p, err);
}

static bool claim_role(void *ctx, const struct pairs *p, struct err *err)
{
    return read_claim(READER(ctx)->gateway->jwt.role_claims, p, err);
}

static bool read_claims(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {
        {"id", claim_id}, {"name", claim_name}, {"role", claim_role}};
    static const struct group group = {"gateway.auth.jwt.claims.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

static bool read_jwt(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"keys", read_keys}, {"jwks_file", read_jwks},
        {"issuer", read_issuer}, {"audience", read_audience}, {"leeway_s", read_leeway},
        {"claims", read_claims}, {"default_role", read_default_role}};
    static const struct group group = {"gateway.auth.jwt.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* --- roles ------------------------------------------------------------------------------------------ */

static bool is_role_name(struct span name)
{
    static const char *const taken[] = {"anyone", "user", "nobody"};
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (span_is(name, taken[i]))
            return false;
    return name.p[name.len - 1] != '+';
}

static bool read_roles(void *ctx, const struct pairs *of, struct err *err)
{
    struct roles *roles = &READER(ctx)->gateway->policy.roles;
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, of->file, of->value, "gateway.auth.roles.", err))
        return false;
    while (pairs_next(&p, &is_end, err)) {
        if (is_end)
            return true;
        uint32_t level;
        if (!pairs_u32(&p, 0, 1000, &level, err))
            return false;
        if (roles->n == ROLES_MAX || !is_role_name(p.key))
            return pairs_refuse(&p, err,
                roles->n == ROLES_MAX ? "more than 31 roles"
                                      : "the word has a meaning of its own, or ends with '+'");
        roles->list[roles->n++] = (struct role){mem_dup(p.key.p, p.key.len), level};
    }
    return false;
}

static bool read_channel_key(void *ctx, const struct pairs *p, struct err *err)
{
    struct gateway *g = READER(ctx)->gateway;
    char *text = NULL;
    size_t len;
    unsigned char bytes[GATEWAY_KEY_BYTES + 4];
    if (!gateway_secret(READER(ctx), p, "encryption_key", &text, &len, err)) {
        free(text);
        return false;
    }
    bool ok = len == 44 && text[43] == '=' && text[42] != '=' &&
              EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len) > 0;
    if (ok)
        memcpy(g->channel_key, bytes, GATEWAY_KEY_BYTES);
    g->has_channel_key = ok;
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, len);
    free(text);
    return ok || pairs_refuse(p, err, "expected 32 bytes as base64 (44 characters)");
}

static bool read_auth(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"jwt", read_jwt}, {"roles", read_roles},
        {"encryption_key", read_channel_key}, {"encryption_key_env", read_channel_key},
        {"encryption_key_file", read_channel_key}};
    static const struct group group = {"gateway.auth.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* --- pages of other origins --------------------------------------------------------------------------- */

static bool cors_origins(void *ctx, const struct pairs *p, struct err *err)
{
    struct cors *cors = &READER(ctx)->gateway->cors;
    struct span text;
    bool is_end;
    size_t at = 0;
    cors->is_local = false;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        if (!text_is_origin(text))
            return pairs_refuse(p, err, "expected origins as https://example.com, or '*'");
        cors->origins = mem_array(cors->origins, cors->n_origins + 1, sizeof *cors->origins);
        cors->origins[cors->n_origins++] = mem_dup(text.p, text.len);
    }
    return false;
}

static bool cors_headers(void *ctx, const struct pairs *p, struct err *err)
{
    struct span text;
    bool is_end;
    size_t at = 0;
    struct buf list = {0};
    while (pairs_next_text(p, &at, &text, &is_end, err) && !is_end) {
        for (size_t i = 0; i < text.len; i++)
            if (text.p[i] <= ' ' || text.p[i] > '~' || strchr("(),/:;<=>?@[\\]{}\"", text.p[i])) {
                buf_fini(&list);
                return pairs_refuse(p, err, "expected names of headers");
            }
        buf_addf(&list, "%s%.*s", list.len ? ", " : "", SPAN(text));
    }
    if (is_end && list.len < 512) {
        free(READER(ctx)->gateway->cors.headers);
        READER(ctx)->gateway->cors.headers = mem_dup(list.p ? list.p : "", list.len);
    }
    bool ok = is_end && (list.len < 512 || pairs_refuse(p, err, "too many headers"));
    buf_fini(&list);
    return ok;
}

static bool cors_credentials(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &READER(ctx)->gateway->cors.has_credentials, err);
}

static bool read_cors(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {
        {"origins", cors_origins}, {"headers", cors_headers}, {"credentials", cors_credentials}};
    static const struct group group = {"gateway.cors.", parts, COUNT_OF(parts)};
    return group_read(&group, p->file, p->value, ctx, err);
}

/* --- rules ---------------------------------------------------------------------------------------------- */

bool gateway_who(const struct gateway *g, const struct pairs *p, struct who *who, struct err *err)
{
    struct span word;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &word, &is_end, err)) {
        if (is_end)
            return at > 1 || pairs_refuse(p, err, "names nobody; write 'nobody' for that");
        if (!who_add(who, &g->policy.roles, word, err))
            return pairs_fail(p, err);
    }
    return false;
}

bool gateway_template(struct file *f, const struct pairs *p, struct template *t, struct err *err)
{
    struct buf json = {0};
    bool ok = node_json(f, p->value, p->path, &json, err);
    if (ok && !template_compile(t, buf_span(&json), err))
        ok = pairs_fail(p, err);
    buf_fini(&json);
    return ok;
}

struct rule_reader {
    struct gateway *gateway;
    struct channel_rule rule;
    char **channels;
    size_t n_channels;
};

static bool rule_channel(void *ctx, const struct pairs *p, struct err *err)
{
    struct rule_reader *r = ctx;
    return pairs_texts(p, &r->channels, &r->n_channels, err);
}

static bool rule_may(void *ctx, const struct pairs *p, struct err *err)
{
    struct rule_reader *r = ctx;
    for (int i = 0; i < POLICY_ACTIONS; i++) {
        if (!span_is(p->key, policy_word((enum policy_action)i)))
            continue;
        r->rule.is_given[i] = true;
        return gateway_who(r->gateway, p, &r->rule.may[i], err);
    }
    return false;
}

static bool rule_user_info(void *ctx, const struct pairs *p, struct err *err)
{
    struct rule_reader *r = ctx;
    struct template t;
    if (!gateway_template(p->file, p, &t, err))
        return false;
    template_fini(&t); // each pattern compiles its own, from the same node
    r->rule.has_user_info = true;
    return true;
}

/* A rule for several channels is as many rules. */
static bool add_rules(
    const struct rule_reader *r, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct policy *policy = &r->gateway->policy;
    for (size_t i = 0; i < r->n_channels; i++) {
        struct channel_rule rule = r->rule;
        rule.line = (unsigned)node->start_mark.line + 1;
        if (!pattern_compile(&rule.pattern, span_str(r->channels[i]), err))
            return node_fail(f, node, err);
        policy->rules = mem_array(policy->rules, policy->n_rules + 1, sizeof *policy->rules);
        policy->rules[policy->n_rules++] = rule;
    }
    if (r->n_channels)
        return true;
    (void)err_set(err, 0, "gateway.channels: the rule names no channel");
    return node_fail(f, node, err);
}

/* The last n rules get their user_info. */
static bool give_user_info(
    struct policy *policy, size_t n, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    if (!pairs_start(&p, f, node, "gateway.channels.", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end)
        for (size_t i = 0; span_is(p.key, "user_info") && i < n; i++)
            if (!gateway_template(f, &p, &policy->rules[policy->n_rules - 1 - i].user_info, err))
                return false;
    return is_end;
}

static bool read_rule(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct rule_reader r = {.gateway = READER(ctx)->gateway};
    bool ok =
        group_read(group, f, node, &r, err) && add_rules(&r, f, node, err) &&
        (!r.rule.has_user_info || give_user_info(&r.gateway->policy, r.n_channels, f, node, err));
    for (size_t i = 0; i < r.n_channels; i++)
        free(r.channels[i]);
    free(r.channels);
    return ok;
}

static bool read_rules(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"channel", rule_channel}, {"channels", rule_channel},
        {"join", rule_may}, {"publish", rule_may}, {"client_events", rule_may},
        {"history", rule_may}, {"user_info", rule_user_info}};
    static const struct group group = {"gateway.channels.", parts, COUNT_OF(parts)};
    return group_read_list(&group, p, ctx, read_rule, err);
}

struct event_reader {
    struct gateway *gateway;
    struct event_rule rule;
};

static bool event_channel(void *ctx, const struct pairs *p, struct err *err)
{
    struct event_reader *r = ctx;
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    return pattern_compile(&r->rule.channel, node_text(p->value), err) || pairs_fail(p, err);
}

static bool event_names(void *ctx, const struct pairs *p, struct err *err)
{
    struct event_rule *rule = &((struct event_reader *)ctx)->rule;
    struct span text;
    bool is_end;
    size_t at = 0;
    while (pairs_next_text(p, &at, &text, &is_end, err)) {
        if (is_end)
            return true;
        rule->names = mem_array(rule->names, rule->n_names + 1, sizeof *rule->names);
        if (!pattern_compile(&rule->names[rule->n_names], text, err))
            return pairs_fail(p, err);
        rule->n_names++;
    }
    return false;
}

static bool event_allow(void *ctx, const struct pairs *p, struct err *err)
{
    struct event_reader *r = ctx;
    return gateway_who(r->gateway, p, &r->rule.may, err);
}

static bool read_event_rule(
    void *ctx, const struct group *group, struct file *f, const yaml_node_t *node, struct err *err)
{
    struct policy *policy = &READER(ctx)->gateway->policy;
    struct event_reader r = {.gateway = READER(ctx)->gateway};
    bool ok = group_read(group, f, node, &r, err);
    policy->events = mem_array(policy->events, policy->n_events + 1, sizeof *policy->events);
    policy->events[policy->n_events++] = r.rule; // whole or not, it is freed with the others
    return ok;
}

static bool read_events(void *ctx, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"channel", event_channel}, {"event", event_names},
        {"events", event_names}, {"allow", event_allow}};
    static const struct group group = {"gateway.events.", parts, COUNT_OF(parts)};
    return group_read_list(&group, p, ctx, read_event_rule, err);
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static bool read_app(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_text(p, &READER(ctx)->gateway->app, err);
}

static bool read_strict(void *ctx, const struct pairs *p, struct err *err)
{
    return pairs_bool(p, &READER(ctx)->gateway->is_strict, err);
}

static bool read_user_info(void *ctx, const struct pairs *p, struct err *err)
{
    template_fini(&READER(ctx)->gateway->policy.user_info);
    return gateway_template(p->file, p, &READER(ctx)->gateway->policy.user_info, err);
}

static bool read_routes(void *ctx, const struct pairs *p, struct err *err)
{
    return file_routes(ctx, p, err);
}

static bool read_legacy(void *ctx, const struct pairs *p, struct err *err)
{
    return file_legacy(ctx, p, err);
}

static void set_defaults(struct gateway *g)
{
    struct err err;
    struct jwt_rules *jwt = &g->jwt;
    jwt->leeway_s = 30;
    jwt->id_claims[0] = mem_dup_str("sub");
    jwt->id_claims[1] = mem_dup_str("user_id");
    jwt->name_claims[0] = mem_dup_str("name");
    jwt->name_claims[1] = mem_dup_str("username");
    jwt->role_claims[0] = mem_dup_str("role");
    g->cors.is_local = true;
    g->cors.headers = mem_dup_str("authorization, content-type, x-socket-id");
    bool ok = template_compile(&g->policy.user_info,
        span_str("{\"id\":\"{user.id}\",\"name\":\"{user.name}\",\"role\":\"{user.role}\"}"), &err);
    ENSURE(ok);
}

static bool check_default_role(const struct gateway *g, struct err *err)
{
    const struct roles *roles = &g->policy.roles;
    for (size_t i = 0; i < roles->n; i++)
        if (strcmp(roles->list[i].name, g->jwt.default_role) == 0)
            return true;
    return err_set(err, 0, "gateway.auth.jwt.default_role: '%s' is none of gateway.auth.roles",
        g->jwt.default_role);
}

static bool check(const struct gateway *g, const struct config *c, struct err *err)
{
    if (!g->jwt.n_keys)
        return err_set(err, 0, "gateway.auth.jwt: no keys: who calls could not be known");
    if (!check_default_role(g, err))
        return false;
    if (!config_app_by_id(c, span_str(g->app)))
        return err_set(err, 0, "gateway.app: there is no app '%s'", g->app);
    if (g->has_inline_secret && !config_is_local(c))
        return err_set(err, 0,
            "a secret stands in the file, which is refused on host '%s': give gateway secrets by "
            "secret_env or secret_file",
            c->host);
    return true;
}

/* In an order of their own, not the file's: rules name roles. */
static bool read_gateway(struct gateway_reader *r, const struct pairs *p, struct err *err)
{
    static const struct group_part parts[] = {{"auth", read_auth}, {"app", read_app},
        {"strict", read_strict}, {"cors", read_cors}, {"user_info", read_user_info},
        {"channels", read_rules}, {"events", read_events}, {"routes", read_routes},
        {"legacy", read_legacy}};
    static const char *words[COUNT_OF(parts)];
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        words[i] = parts[i].word;
    for (size_t i = 0; i <= COUNT_OF(parts); i++) {
        struct pairs in;
        bool is_end;
        if (!pairs_start(&in, p->file, p->value, "gateway.", err))
            return false;
        while (pairs_next(&in, &is_end, err) && !is_end) {
            bool is_known = false;
            for (size_t k = 0; k < COUNT_OF(parts); k++)
                is_known |= span_is(in.key, parts[k].word);
            if (!is_known)
                return pairs_refuse_unknown(&in, words, COUNT_OF(words), err);
            if (i < COUNT_OF(parts) && span_is(in.key, parts[i].word) &&
                !parts[i].read(r, &in, err))
                return false;
        }
        if (!is_end)
            return false;
    }
    return true;
}

bool file_gateway(struct file *f, struct loader *l, const struct env *env, struct err *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(&f->doc);
    struct pairs p;
    bool is_end;
    if (!root || !pairs_start(&p, f, root, "", err))
        return !root;
    while (pairs_next(&p, &is_end, err) && !is_end) {
        if (!span_is(p.key, "gateway") || node_is_null(p.value))
            continue;
        struct gateway *g = l->config->gateway = gateway_new();
        struct gateway_reader r = {.file = f, .env = env, .gateway = g};
        set_defaults(g);
        if (!read_gateway(&r, &p, err))
            return false;
        if (!g->policy.roles.n)
            g->policy.roles.list[g->policy.roles.n++] = (struct role){mem_dup_str("student"), 1};
        if (!g->jwt.default_role)
            g->jwt.default_role = mem_dup_str("student");
        if (!g->app)
            g->app = mem_dup_str(l->config->apps[0].id);
        if (!check(g, l->config, err))
            return node_fail(f, p.value, err);
        gateway_finish(g, CARILLON_VERSION);
    }
    return is_end;
}
