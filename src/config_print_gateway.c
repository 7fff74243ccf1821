/* The gateway's part of `carillon check`. */
#include "base/base.h"

#include <stdio.h>

#include "config_priv.h"

static void print_key(const struct jwt_key *key)
{
    printf("        - alg: %s\n", jwt_alg_name(key->alg));
    if (key->kid) {
        printf("          kid: ");
        config_print_quoted(key->kid);
        putchar('\n');
    }
    if (key->secret)
        printf("          secret: \"[redacted]\"\n");
}

static void print_optional(const char *name, const char *text)
{
    if (!text)
        return;
    printf("%s: ", name);
    config_print_quoted(text);
    putchar('\n');
}

static void print_claims(const char *name, char *const claims[JWT_CLAIM_NAMES])
{
    printf("        %s: [", name);
    for (int i = 0; i < JWT_CLAIM_NAMES && claims[i]; i++) {
        printf(i ? ", " : "");
        config_print_quoted(claims[i]);
    }
    printf("]\n");
}

static void print_auth(const struct gateway *g)
{
    printf("  auth:\n    jwt:\n      keys:\n");
    for (size_t i = 0; i < g->jwt.n_keys; i++)
        print_key(&g->jwt.keys[i]);
    print_optional("      issuer", g->jwt.issuer);
    print_optional("      audience", g->jwt.audience);
    print_optional("      default_role", g->jwt.default_role);
    printf("      leeway_s: %u\n      claims:\n", g->jwt.leeway_s);
    print_claims("id", g->jwt.id_claims);
    print_claims("name", g->jwt.name_claims);
    print_claims("role", g->jwt.role_claims);
    printf("    roles:\n");
    for (size_t i = 0; i < g->policy.roles.n; i++) {
        printf("      ");
        config_print_quoted(g->policy.roles.list[i].name);
        printf(": %u\n", g->policy.roles.list[i].level);
    }
    if (g->has_channel_key)
        printf("    encryption_key: \"[redacted]\"\n");
}

static void print_who(const char *name, const struct gateway *g, const struct who *who)
{
    const char *before = "";
    printf("%s: [", name);
    if (who->is_anyone || who->is_user) {
        printf(who->is_anyone ? "anyone" : "user");
        before = ", ";
    }
    for (size_t i = 0; i < g->policy.roles.n; i++)
        if (who->roles & 1U << i) {
            printf("%s", before);
            config_print_quoted(g->policy.roles.list[i].name);
            before = ", ";
        }
    printf(before[0] ? "]\n" : "nobody]\n");
}

static void print_rules(const struct gateway *g)
{
    printf("  channels:%s\n", g->policy.n_rules ? "" : " []");
    for (size_t i = 0; i < g->policy.n_rules; i++) {
        const struct channel_rule *rule = &g->policy.rules[i];
        printf("    - channel: ");
        config_print_quoted(rule->pattern.text);
        putchar('\n');
        for (int k = 0; k < POLICY_ACTIONS; k++)
            if (rule->is_given[k]) {
                printf("      ");
                print_who(policy_word((enum policy_action)k), g, &rule->may[k]);
            }
    }
}

static void print_events(const struct gateway *g)
{
    printf("  events:%s\n", g->policy.n_events ? "" : " []");
    for (size_t i = 0; i < g->policy.n_events; i++) {
        const struct event_rule *rule = &g->policy.events[i];
        printf("    - event: [");
        for (size_t k = 0; k < rule->n_names; k++) {
            printf(k ? ", " : "");
            config_print_quoted(rule->names[k].text);
        }
        printf("]\n");
        print_optional("      channel", rule->channel.text);
        print_who("      allow", g, &rule->may);
    }
}

static void print_cors(const struct cors *cors)
{
    printf("  cors:\n    headers: ");
    config_print_quoted(cors->headers);
    printf("\n    credentials: %s\n", cors->has_credentials ? "true" : "false");
    if (cors->is_local) {
        printf("    # origins: pages of this machine, on any port\n");
        return;
    }
    printf("    origins: [");
    for (size_t i = 0; i < cors->n_origins; i++) {
        printf(i ? ", " : "");
        config_print_quoted(cors->origins[i]);
    }
    printf("]\n");
}

static void print_routes(const struct gateway *g)
{
    printf("  routes:%s\n", g->n_routes ? "" : " []");
    for (size_t i = 0; i < g->n_routes; i++) {
        const struct route *r = &g->routes[i];
        printf("    - name: ");
        config_print_quoted(r->name);
        printf("\n      method: %s\n", route_method_word(r->method));
        for (size_t k = 0; k < r->n_paths; k++) {
            printf(k == 0 ? "      path: " : k == 1 ? "      aliases:\n        - " : "        - ");
            config_print_quoted(r->paths[k]);
            putchar('\n');
        }
        printf("      builtin: %s\n", builtin_word(r->action.builtin));
        if (r->action.upstream.url) {
            printf("      upstream: {url: ");
            config_print_quoted(r->action.upstream.url);
            printf("}\n");
        }
    }
}

static void print_legacy(const struct gateway *g)
{
    const struct bridge *b = g->bridge;
    printf("  legacy:\n    endpoints:\n");
    for (int i = 0; i < BRIDGE_ENDPOINTS; i++)
        printf(
            "      %s: %s\n", bridge_word((enum bridge_endpoint)i), b->is_on[i] ? "true" : "false");
    printf("    token: %s\n    roles:\n", b->needs_token ? "required" : "optional");
    print_who("      broadcast", g, &b->broadcast);
    print_who("      user_message", g, &b->user_message);
    print_who("      status", g, &b->status);
    print_optional("    sunset", b->sunset);
    print_optional("    link", b->link);
    print_optional("    alternative", b->alternative);
    printf("    connections: %u\n    messages_per_min: %u\n    stale_s: %u\n    idle_s: %u\n",
        b->connections, b->messages_per_min, b->stale_s, b->idle_s);
    printf("    routes:\n");
    print_optional("      message", b->message);
    print_optional("      environment", b->environment);
    print_optional("      analytics", b->analytics);
}

void config_print_gateway(const struct gateway *g)
{
    printf("gateway:\n");
    print_optional("  app", g->app);
    printf("  strict: %s\n", g->is_strict ? "true" : "false");
    print_auth(g);
    print_cors(&g->cors);
    print_rules(g);
    print_events(g);
    print_routes(g);
    if (g->bridge)
        print_legacy(g);
}
