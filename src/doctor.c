/* Checks, a line each: ok, warn or fail. */
#include "base/base.h"

#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/gateway.h"
#include "net/listener.h"
#include "net/tls.h"
#include "wire/pusher.h"

enum { TOKEN, CHANNEL, FEW_DESCRIPTORS = 4096 };

struct own_flag doctor_flags[] = {{"--token", NULL}, {"--channel", NULL}, {0}};

struct doctor {
    unsigned n_failed;
};

enum finding { FINE, DOUBTFUL, BROKEN };

static void PRINTF_LIKE(3, 4) say(struct doctor *d, enum finding finding, const char *format, ...)
{
    static const char *const words[] = {[FINE] = "ok  ", [DOUBTFUL] = "warn", [BROKEN] = "FAIL"};
    va_list args;
    d->n_failed += finding == BROKEN;
    printf("%s  ", words[finding]);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* --- the machine -------------------------------------------------------------------------------- */

static void check_port(struct doctor *d, const char *host, uint32_t wanted, const char *what)
{
    struct err err;
    uint16_t port = (uint16_t)wanted;
    int fd = listener_open(host, &port, LISTENER_ALONE, &err);
    if (fd < 0) {
        say(d, DOUBTFUL, "%s: %s (fine when this server is running already)", what, err.text);
        return;
    }
    close(fd);
    say(d, FINE, "%s: %s port %u is free", what, host, wanted);
}

static void check_tls(struct doctor *d, const struct config *c)
{
    struct err err;
    if (!c->tls.port) {
        say(d, FINE, "tls: off (tls.port is 0)");
        return;
    }
    struct tls_context *tls = tls_context_new(c->tls.cert, c->tls.key, &err);
    if (tls)
        say(d, FINE, "tls: %s and %s belong together", c->tls.cert, c->tls.key);
    else
        say(d, BROKEN, "tls: %s", err.text);
    tls_context_drop(tls);
    check_port(d, c->host, c->tls.port, "tls.port");
}

static void check_descriptors(struct doctor *d)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        say(d, DOUBTFUL, "descriptors: the limit cannot be read");
    else if (limit.rlim_max < FEW_DESCRIPTORS)
        say(d, DOUBTFUL,
            "descriptors: only %llu; each connection takes one (LimitNOFILE, ulimit -n)",
            (unsigned long long)limit.rlim_max);
    else
        say(d, FINE, "descriptors: %llu", (unsigned long long)limit.rlim_max);
}

static void check_apps(struct doctor *d, const struct config *c)
{
    say(d, c->has_default_app ? DOUBTFUL : FINE, "apps: %zu%s", c->n_apps,
        c->has_default_app ? ", the default app: this machine only" : "");
}

/* --- the gateway ----------------------------------------------------------------------------------- */

static void check_keys(struct doctor *d, const struct gateway *g)
{
    for (size_t i = 0; i < g->jwt.n_keys; i++)
        say(d, FINE, "gateway: key %zu is for %s, kid %s", i + 1, jwt_alg_name(g->jwt.keys[i].alg),
            g->jwt.keys[i].kid ? g->jwt.keys[i].kid : "none");
    if (g->has_inline_secret)
        say(d, DOUBTFUL,
            "gateway: a secret stands in the file; elsewhere than on this machine: "
            "secret_env or secret_file");
}

static void check_upstream(struct doctor *d, const struct route *r, const struct upstream *u)
{
    if (!u->url)
        return;
    say(d, u->secret ? FINE : DOUBTFUL, "gateway: route %s asks %s, %s", r->name, u->url,
        u->secret ? "signed" : "unsigned: anyone else could ask it as well");
}

static void check_gateway(struct doctor *d, const struct gateway *g)
{
    if (!g) {
        say(d, FINE, "gateway: none is configured");
        return;
    }
    check_keys(d, g);
    say(d, g->policy.n_rules ? FINE : DOUBTFUL, "gateway: %zu channel rules, %zu routes",
        g->policy.n_rules, g->n_routes);
    for (size_t i = 0; i < g->n_routes; i++) {
        check_upstream(d, &g->routes[i], &g->routes[i].action.upstream);
        for (size_t k = 0; k < g->routes[i].dispatch.n_cases; k++)
            check_upstream(d, &g->routes[i], &g->routes[i].dispatch.cases[k].action.upstream);
    }
}

/* --- a token and a channel --------------------------------------------------------------------------- */

static void check_token(
    struct doctor *d, const struct gateway *g, const char *token, struct caller *caller)
{
    int64_t now_s = clock_wall_ms() / 1000;
    enum jwt_result result = jwt_verify(&g->jwt, span_str(token), now_s, caller);
    if (result == JWT_OK)
        say(d, FINE, "token: of user '%.*s', role '%.*s', for %lld more seconds", SPAN(caller->id),
            SPAN(caller->role), (long long)(caller->expires_s - now_s));
    else
        say(d, BROKEN, "token: %s (a caller gets 401 \"%s\")", jwt_sentence(result),
            jwt_detail(result));
}

static void check_action(struct doctor *d, const struct gateway *g, const struct caller *caller,
    struct span channel, enum policy_action action)
{
    struct decision decision = policy_decide(&g->policy, caller, channel, action);
    if (decision.rule)
        say(d, FINE, "%s %s: %s, by the rule of line %u, channel '%s'", policy_word(action),
            decision.is_allowed ? "yes" : "no", decision.is_allowed ? "allowed" : "denied",
            decision.rule->line, decision.rule->pattern.text);
    else
        say(d, FINE, "%s %s: no rule fits the channel%s", policy_word(action),
            decision.is_allowed ? "yes" : "no",
            decision.is_allowed ? ", and it is a public one" : "");
}

static void check_channel(
    struct doctor *d, const struct config *c, const struct caller *caller, struct span channel)
{
    const struct app *app = config_app_by_id(c, span_str(c->gateway->app));
    unsigned traits;
    if (!pusher_channel(channel, app->limits.channel_name_chars, &traits)) {
        say(d, BROKEN,
            "channel: '%.*s' is no channel's name (at most %u of A-Z a-z 0-9 _ - = @ , . ;)",
            SPAN(channel), app->limits.channel_name_chars);
        return;
    }
    for (int i = 0; i < POLICY_ACTIONS; i++)
        check_action(d, c->gateway, caller, channel, (enum policy_action)i);
}

static void check_caller(struct doctor *d, const struct config *c, const struct own_flag *own)
{
    struct caller caller = {0};
    if (!own[TOKEN].value && !own[CHANNEL].value)
        return;
    if (!c->gateway) {
        say(d, BROKEN, "token, channel: the configuration has no gateway");
        return;
    }
    if (own[TOKEN].value)
        check_token(d, c->gateway, own[TOKEN].value, &caller);
    if (own[CHANNEL].value)
        check_channel(d, c, &caller, span_str(own[CHANNEL].value));
    caller_fini(&caller);
}

int doctor_run(const struct config_args *args, const struct own_flag *own)
{
    struct doctor d = {0};
    struct err err;
    struct config *c = config_load(args, &err);
    if (!c) {
        say(&d, BROKEN, "configuration: %s", err.text);
        return 1;
    }
    say(&d, FINE, "configuration: %s", args->file ? args->file : "no file");
    check_apps(&d, c);
    check_port(&d, c->host, c->port, "port");
    check_tls(&d, c);
    check_descriptors(&d);
    check_gateway(&d, c->gateway);
    check_caller(&d, c, own);
    config_drop(c);
    return d.n_failed ? 1 : 0;
}
