/* A gateway's life, its callers' origins, and what clients are given to join with. */
#include "base/base.h"

#include "gateway/gateway.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "wire/http.h"
#include "wire/json.h"

struct gateway *gateway_new(void)
{
    return mem_zero(sizeof(struct gateway));
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_routes; i++)
        route_fini(&g->routes[i]);
    free(g->routes);
    for (size_t i = 0; i < g->cors.n_origins; i++)
        free(g->cors.origins[i]);
    free(g->cors.origins);
    free(g->cors.headers);
    jwt_rules_fini(&g->jwt);
    policy_fini(&g->policy);
    bridge_free(g->bridge);
    explicit_bzero(g->channel_key, sizeof g->channel_key);
    buf_fini(&g->openapi);
    free(g->app);
    free(g);
}

void gateway_finish(struct gateway *g, const char *version)
{
    g->openapi.len = 0;
    gateway_add_openapi(g, version, &g->openapi);
    if (g->bridge)
        bridge_finish(g->bridge);
}

/* --- who calls ----------------------------------------------------------------------------------- */

/* http://localhost:5173 and the like: a page that this machine serves to itself. */
static bool is_local(struct span origin)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    struct span host = http_origin_host(origin);
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        if (!span_starts(host, hosts[i]))
            continue;
        struct span port = span_from(host, strlen(hosts[i]));
        return port.len == 0 || (port.p[0] == ':' && port.len > 1 && port.len <= 6 &&
                                    strspn(port.p + 1, "0123456789") >= port.len - 1);
    }
    return false;
}

bool gateway_allows_origin(const struct gateway *g, struct span origin)
{
    if (g->cors.is_local)
        return is_local(origin);
    for (size_t i = 0; i < g->cors.n_origins; i++)
        if (span_is(origin, g->cors.origins[i]) || strcmp(g->cors.origins[i], "*") == 0)
            return true;
    return false;
}

bool gateway_bearer(struct span authorization, struct span *token)
{
    static const char scheme[] = "bearer ";
    size_t n = sizeof scheme - 1;
    if (authorization.len <= n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((authorization.p[i] | 0x20) != scheme[i])
            return false;
    *token = span_from(authorization, n);
    while (token->len && token->p[0] == ' ')
        *token = span_from(*token, 1);
    return token->len > 0;
}

/* --- what they join with ---------------------------------------------------------------------------- */

void gateway_add_member(const struct gateway *g, const struct channel_rule *rule,
    const struct scene *scene, bool is_silent, struct buf *out)
{
    const struct template *info =
        rule && rule->has_user_info ? &rule->user_info : &g->policy.user_info;
    buf_add_str(out, "{\"user_id\":");
    json_quote(out, scene->caller->id);
    buf_add_str(out, ",\"user_info\":");
    template_write(info, scene, out);
    buf_add_str(out, is_silent ? ",\"client_events\":false}" : "}");
}

void gateway_add_user(const struct gateway *g, const struct scene *scene, struct buf *out)
{
    buf_add_str(out, "{\"id\":");
    json_quote(out, scene->caller->id);
    buf_add_str(out, ",\"user_info\":");
    template_write(&g->policy.user_info, scene, out);
    buf_add_char(out, '}');
}

void gateway_add_shared_secret(const struct gateway *g, struct span channel, struct buf *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char text[64];
    unsigned n = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, channel.p, channel.len) == 1 &&
              EVP_DigestUpdate(ctx, g->channel_key, sizeof g->channel_key) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, &n) == 1;
    ENSURE(ok);
    EVP_MD_CTX_free(ctx);
    int len = EVP_EncodeBlock(text, digest, (int)n);
    buf_add(out, text, (size_t)len);
}
