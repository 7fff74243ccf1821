/* The group gateway of a configuration file. */
#include "config_given.h"
#include "gateway/gateway.h"

#define KEY  "  auth: {jwt: {keys: [{alg: HS256, secret: 0123456789abcdef0123456789abcdef}]}}\n"
#define GATE "gateway:\n" KEY

/* A route needs a path. */
#define ROUTE GATE "  routes:\n    - name: r\n      path: /r\n"

TEST(without_the_group_there_is_no_gateway)
{
    struct config *c = LOAD(.file = "port: 0\n");
    ENSURE(c);
    CHECK(!c->gateway);
    config_drop(c);
}

TEST(a_key_is_enough)
{
    struct config *c = LOAD(.file = GATE);
    CHECK_STR(err.text, "");
    ENSURE(c && c->gateway);
    const struct gateway *g = c->gateway;
    CHECK_STR(g->app, "app-id");
    CHECK_EQ(g->jwt.n_keys, 1);
    CHECK_EQ(g->jwt.leeway_s, 30);
    CHECK_STR(g->jwt.id_claims[1], "user_id");
    CHECK_STR(g->jwt.default_role, "student");
    CHECK(g->has_inline_secret && g->cors.is_local);
    CHECK_EQ(g->policy.roles.n, 1);
    config_drop(c);
}

TEST(all_parts_are_read)
{
    struct config *c =
        LOAD(.file = "gateway:\n"
                     "  strict: true\n"
                     "  auth:\n"
                     "    roles: {low: 1, high: 9}\n"
                     "    jwt:\n"
                     "      issuer: me\n      audience: you\n      leeway_s: 0\n      "
                     "default_role: low\n"
                     "      claims: {id: uid, role: [r1, r2]}\n"
                     "      keys:\n"
                     "        - {alg: HS512, kid: a, secret_env: GATE_SECRET}\n"
                     "        - {alg: HS256, kid: b, secret_file: secret.txt}\n"
                     "  cors: {origins: ['https://a.example'], headers: [x-one, x-two], "
                     "credentials: true}\n"
                     "  user_info: {id: '{user.id}'}\n"
                     "  channels:\n"
                     "    - {channels: ['a-*', 'b-{user.id}'], join: low+, publish: [high], "
                     "user_info: {n: 1}}\n"
                     "  events:\n    - {event: [x, 'y*'], channel: 'a-*', allow: user}\n",
            .env_file =
                "GATE_SECRET=0123456789012345678901234567890123456789012345678901234567890123\n");
    CHECK_STR(err.text, "");
    ENSURE(c && c->gateway);
    const struct gateway *g = c->gateway;
    CHECK(g->is_strict && !g->has_inline_secret);
    CHECK_EQ(g->jwt.n_keys, 2);
    CHECK_EQ(g->jwt.keys[1].secret_len, 32);
    CHECK_STR(g->jwt.id_claims[0], "uid");
    CHECK_STR(g->jwt.id_claims[1], NULL);
    CHECK_STR(g->cors.headers, "x-one, x-two");
    CHECK_EQ(g->policy.n_rules, 2);
    CHECK(g->policy.rules[1].has_user_info && g->policy.rules[1].user_info.n_ops == 1);
    CHECK_EQ(g->policy.rules[0].may[POLICY_JOIN].roles, 3);
    CHECK_EQ(g->policy.rules[0].may[POLICY_PUBLISH].roles, 2);
    CHECK_EQ(g->policy.events[0].n_names, 2);
    CHECK(gateway_allows_origin(g, span_str("https://a.example")));
    CHECK(!gateway_allows_origin(g, span_str("http://localhost:5173")));
    config_drop(c);
}

TEST(what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"gateway: {}\n", "gateway.auth.jwt: no keys: who calls could not be known"},
        {GATE "  chanels: []\n",
            "c.yaml:3:3: unknown option 'gateway.chanels', did you mean 'gateway.channels'?"},
        {"gateway:\n  auth: {jwt: {keys: [{alg: HS256, secret: short}]}}\n",
            "gateway.auth.jwt.keys: "},
        {"gateway:\n  auth: {jwt: {keys: [{alg: none, secret: x}]}}\n",
            "gateway.auth.jwt.keys.alg: expected HS256, "},
        {"gateway:\n  auth: {jwt: {keys: [{secret: 0123456789abcdef0123456789abcdef}]}}\n",
            "gateway.auth.jwt.keys: alg is missing"},
        {"gateway:\n  auth: {jwt: {keys: [{alg: HS256}]}}\n",
            "gateway.auth.jwt.keys: a key has one of secret, secret_env, secret_file and pem_file"},
        {"gateway:\n  auth: {jwt: {keys: [{alg: HS256, secret_env: GATE_NONE}]}}\n",
            "the environment has no 'GATE_NONE'"},
        {"gateway:\n  auth: {jwt: {keys: [{alg: RS256, pem_file: none.pem}]}}\n",
            "none.pem: No such file or directory"},
        {"gateway:\n  auth: {roles: {user: 1}}\n",
            "gateway.auth.roles.user: the word has a meaning"},
        {GATE "  app: other\n", "gateway.app: there is no app 'other'"},
        {GATE "  cors: {origins: localhost}\n", "gateway.cors.origins: expected origins as"},
        {GATE "  channels: [{channel: x, join: boss}]\n",
            "gateway.channels.join: 'boss' is nobody"},
        {GATE "  channels: [{join: user}]\n", "the rule names no channel"},
        {GATE "  channels: [{channel: '{body.x}'}]\n", "a pattern may hold user.id, "},
        {GATE "  user_info: {a: '{nobody}'}\n", "gateway.user_info: unknown variable '{nobody}'"},
        {GATE "  user_info: &a {b: *a}\n", "gateway.user_info: too large, deeper than 16"},
        {GATE "  routes: [{path: /r}]\n", "gateway.routes: name is missing"},
        {GATE "  routes: [{name: r}]\n", "gateway.routes: path is missing"},
        {GATE "  routes: [{name: r, path: /apps/x}]\n", "expected a path as /api/name that is not"},
        {GATE "  routes: [{name: r, path: x}]\n", "expected a path as /api/name"},
        {ROUTE "      method: PUT\n", "gateway.routes.method: unknown word 'PUT', did you mean '"},
        {ROUTE "      builtin: rely\n", "unknown word 'rely', did you mean 'relay'?"},
        {ROUTE "      body: {a: strin}\n", "gateway.routes.body.a: unknown word 'strin'"},
        {ROUTE "      body: {a: {required: true, default: 1}}\n", "a default is for an optional"},
        {ROUTE "      publish: [{channel: x, event: y}]\n", "expected channel, event and data"},
        {ROUTE "      publish: [{channel: 'x{', event: y, data: {}}]\n", "a '{' has no '}'"},
        {ROUTE "      upstream: {url: 'ftp://x'}\n", "expected http:// or https://"},
        {ROUTE "      upstream: {mode: sync}\n", "gateway.routes.upstream: url is missing"},
        {ROUTE "      auth: none\n      rate_limit: {per_user: 3}\n",
            "rate_limit.per_user needs auth"},
        {ROUTE "      builtin: demo_progress\n", "builtin demo_progress needs demo.steps"},
        {ROUTE "      dispatch: {field: t, cases: {a: {route: none}}}\n",
            "dispatch: there is no route 'none'"},
        {ROUTE "    - {name: r, path: /s}\n", "'r' and 'r' have one name, or one method and path"},
        {ROUTE "    - {name: s, path: /r}\n", "'r' and 's' have one name, or one method and path"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config *c = LOAD(.file = rows[i].text);
        CHECK(!c);
        CHECK(strstr(err.text, "c.yaml:") == err.text);
        if (!strstr(err.text, rows[i].wanted))
            CHECK_STR(err.text, rows[i].wanted);
        config_drop(c);
    }
}

TEST(a_secret_in_the_file_is_for_this_machine_only)
{
    struct config *c = LOAD(.file = "host: 0.0.0.0\n" GATE, .apps = {"a:b:c"});
    CHECK(!c);
    CHECK(strstr(err.text, "a secret stands in the file, which is refused on host '0.0.0.0'"));
    config_drop(c);
}

int main(void)
{
    enter_folder();
    write_text("secret.txt", "0123456789abcdef0123456789abcdef\n");
    RUN(without_the_group_there_is_no_gateway);
    RUN(a_key_is_enough);
    RUN(all_parts_are_read);
    RUN(what_is_wrong_is_named_with_its_place);
    RUN(a_secret_in_the_file_is_for_this_machine_only);
    remove("secret.txt");
    leave_folder();
    return test_end();
}
