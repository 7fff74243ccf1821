/* Which applications a configuration has, and every sentence that refuses one. */
#include "base/base.h"

#include "config.h"

#include <stdlib.h>

#include "config_given.h"
#include "test.h"

TEST(the_default_app_exists_when_no_source_defines_one)
{
    struct config *c = LOAD(.file = "apps: []\n");
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK(c->has_default_app);
    CHECK_EQ(c->n_apps, 1);
    CHECK_STR(c->apps[0].id, "app-id");
    CHECK_STR(c->apps[0].keys[0].key, "app-key");
    CHECK_STR(c->apps[0].keys[0].secret, "app-secret");
    CHECK(c->apps[0].enabled);
    CHECK(c->apps[0].client_events);
    CHECK(c->apps[0].watchlist);
    CHECK(c->apps[0].subscription_count);
    CHECK(!c->apps[0].auth_required);
    config_drop(c);
    c = LOAD(.sets = {"app_defaults.subscription_count=false"});
    CHECK(c && !c->apps[0].subscription_count);
    config_drop(c);
    c = LOAD(.apps = {"1:k:s"});
    CHECK(c && !c->has_default_app);
    CHECK(c && !c->apps[0].subscription_count);
    CHECK(c && c->apps[0].enabled);
    config_drop(c);
}

TEST(the_default_app_listens_on_loopback_only)
{
    static const char *const good[] = {
        "host=127.0.0.1", "host=127.3.2.1", "host=::1", "host=localhost"};
    static const char *const bad[] = {"0.0.0.0", "::", "192.0.2.1", "example.com", "128.0.0.1",
        "127.0.0.1.example.com", "::ffff:127.0.0.1"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        CHECK_STR(REFUSAL(.sets = {good[i]}), "(accepted)");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char text[64];
        char expected[512];
        snprintf(text, sizeof text, "host=%s", bad[i]);
        snprintf(expected, sizeof expected,
            "host '%s' is not a loopback address and no app is defined: define one under 'apps' in "
            "the file, by --app ID:KEY:SECRET, or by PUSHER_APP_ID, PUSHER_APP_KEY and "
            "PUSHER_APP_SECRET in the environment",
            bad[i]);
        CHECK_STR(REFUSAL(.sets = {text}), expected);
        CHECK_STR(REFUSAL(.sets = {text}, .apps = {"1:k:s"}), "(accepted)");
    }
    CHECK_STR(REFUSAL(.sets = {"host="}), "host: the address is empty");
}

TEST(the_well_known_secret_is_refused_off_loopback)
{
    static const char expected[] =
        "app '1' has the well-known secret 'app-secret', which is refused "
        "on host '0.0.0.0': set a secret of your own";
    CHECK_STR(REFUSAL(.sets = {"host=0.0.0.0"}, .apps = {"1:k:app-secret"}), expected);
    CHECK_STR(
        FILE_REFUSAL("host: 0.0.0.0\napps:\n  - id: 1\n    keys:\n      - {key: a, secret: b}\n"
                     "      - {key: c, secret: app-secret}\n"),
        expected);
    CHECK_STR(REFUSAL(.apps = {"1:k:app-secret"}), "(accepted)");
}

TEST(an_app_flag_is_id_key_and_the_rest_is_secret)
{
    struct config *c = LOAD(.apps = {"1:k:s:t:u"});
    CHECK_STR(err.text, "");
    CHECK_STR(c ? c->apps[0].keys[0].secret : NULL, "s:t:u");
    config_drop(c);
    CHECK_STR(REFUSAL(.apps = {"1:hidden"}), "--app: expected ID:KEY:SECRET");
    CHECK_STR(REFUSAL(.apps = {":k:s"}), "--app: the id is empty");
    CHECK_STR(REFUSAL(.apps = {"1::s"}), "--app: the key is empty");
    CHECK_STR(REFUSAL(.apps = {"1:k:"}), "--app: the secret is empty");
    CHECK_STR(REFUSAL(.apps = {"1/2:k:s"}),
        "--app: the id '1/2' may hold neither blanks nor / ? # : nor anything but ASCII");
    CHECK_STR(REFUSAL(.apps = {"1:k k:s"}),
        "--app: the key 'k k' may hold neither blanks nor / ? # : nor anything but ASCII");
    CHECK_STR(REFUSAL(.apps = {"1:k:s", "1:l:t"}), "--app: app '1' is defined twice");
    CHECK_STR(REFUSAL(.apps = {"1:k:s", "2:k:t"}),
        "--app: the key 'k' of app '2' is already one of app '1'");
}

TEST(an_app_comes_from_the_usual_variables)
{
    static const char *const files[] = {
        "PUSHER_APP_ID=7\nPUSHER_APP_KEY=k\nPUSHER_APP_SECRET=s\n",
        "PUSHER_APP_ID=7\nPUSHER_KEY=k\nPUSHER_SECRET=s\n",
        "PUSHER_APP_ID=7\nPUSHER_KEY=old\nPUSHER_SECRET=old\nPUSHER_APP_KEY=k\nPUSHER_APP_SECRET="
        "s\n"
        "PUSHER_HOST=localhost\n",
    };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct config *c = LOAD(.env_file = files[i]);
        CHECK_STR(err.text, "");
        CHECK_EQ(c ? c->n_apps : 0, 1);
        CHECK_STR(c ? c->apps[0].id : NULL, "7");
        CHECK_STR(c ? c->apps[0].keys[0].key : NULL, "k");
        CHECK_STR(c ? c->apps[0].keys[0].secret : NULL, "s");
        config_drop(c);
    }
    setenv("PUSHER_SECRET", "from the process", 1);
    struct config *c = LOAD(.env_file = files[0]);
    CHECK_STR(c ? c->apps[0].keys[0].secret : NULL, "from the process");
    config_drop(c);
}

TEST(an_incomplete_app_in_the_environment_names_what_is_missing)
{
    CHECK_STR(REFUSAL(.env_file = "PUSHER_APP_ID=7\nPUSHER_KEY=k\n"),
        "environment: PUSHER_APP_SECRET (or PUSHER_SECRET) is not set, and an app needs its id, "
        "key "
        "and secret");
    CHECK_STR(REFUSAL(.env_file = "PUSHER_APP_ID=\nPUSHER_SECRET=s\n"),
        "environment: PUSHER_APP_ID and PUSHER_APP_KEY (or PUSHER_KEY) are not set, and an app "
        "needs its id, key and secret");
    CHECK_STR(
        REFUSAL(.env_file = "PUSHER_APP_ID=\nPUSHER_APP_KEY=\nPUSHER_APP_SECRET=\n"), "(accepted)");
    CHECK_STR(REFUSAL(.env_file = "PUSHER_APP_ID=7\nPUSHER_KEY=a:b\nPUSHER_SECRET=s\n"),
        "c.env:2: PUSHER_KEY: the key 'a:b' may hold neither blanks nor / ? # : nor anything but "
        "ASCII");
}

TEST(an_app_in_the_file_has_defaults_and_its_own_values)
{
    struct config *c =
        LOAD(.file =
                 "app_defaults:\n  watchlist: false\n  cache_ttl_s: 60\n  limits: {watchlist: 7}\n"
                 "apps:\n"
                 "  - id: 42\n"
                 "    keys:\n"
                 "      - {key: k1, secret: 12345}\n"
                 "      - {key: k2, secret: s2}\n"
                 "    enabled: false\n"
                 "    subscription_count: true\n"
                 "    authorized_connections: {enabled: true, timeout_s: 9}\n"
                 "    max_connections: 10\n"
                 "    tls_only: true\n"
                 "    allowed_origins: [https://example.com, 'http://localhost:3000']\n"
                 "    cache_ttl_s: 61\n"
                 "    limits: {presence_members: 3}\n"
                 "  - id: plain\n"
                 "    keys: [{key: k3, secret: s3}]\n"
                 "    allowed_origins:\n");
    CHECK_STR(err.text, "");
    if (!c)
        return;
    const struct app *app = config_app_by_key(c, span_str("k2"));
    CHECK(app && app == config_app_by_id(c, span_str("42")));
    CHECK(app && app == config_app_by_key(c, span_str("k1")));
    if (app) {
        CHECK_STR(app->keys[0].secret, "12345");
        CHECK(!app->enabled && app->subscription_count && !app->watchlist && app->client_events);
        CHECK(app->auth_required && app->tls_only);
        CHECK_EQ(app->auth_timeout_s, 9);
        CHECK_EQ(app->max_connections, 10);
        CHECK_EQ(app->cache_ttl_s, 61);
        CHECK_EQ(app->limits.presence_members, 3);
        CHECK_EQ(app->limits.watchlist, 7);
        CHECK_EQ(app->n_allowed_origins, 2);
        CHECK(app_allows_origin(app, span_str("http://localhost:3000")));
        CHECK(!app_allows_origin(app, span_str("http://localhost")));
    }
    app = config_app_by_id(c, span_str("plain"));
    CHECK(app && app->enabled && !app->subscription_count && !app->watchlist && !app->tls_only);
    CHECK_EQ(app ? app->cache_ttl_s : 0, 60);
    CHECK_EQ(app ? app->limits.presence_members : 0, 100);
    CHECK(config_app_by_id(c, span_str("k1")) == NULL);
    CHECK(config_app_by_key(c, span_str("k")) == NULL);
    CHECK(config_app_by_key(c, span_of(NULL, 0)) == NULL);
    config_drop(c);
}

TEST(the_keys_of_an_app_sign)
{
    struct config *c = LOAD(.apps = {"1:278d425bdf160c739803:7ad3773142a6692b25b8"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    /* The example of the Channels documentation for a private channel. */
    struct span text = span_str("1234.1234:private-foobar");
    struct span hex = span_str("58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4");
    CHECK(sign_check(&c->apps[0].keys[0].sign, &text, 1, hex));
    config_drop(c);
}

TEST(a_bad_app_in_the_file_is_refused_with_its_place)
{
    CHECK_STR(FILE_REFUSAL("apps:\n  - keys: [{key: k, secret: s}]\n"),
        "c.yaml:2:5: apps: the app has no id");
    CHECK_STR(FILE_REFUSAL("apps:\n  - id: 1\n"), "c.yaml:2:5: apps: the app has no keys");
    CHECK_STR(
        FILE_REFUSAL("apps:\n  - id: 1\n    keys: []\n"), "c.yaml:2:5: apps: the app has no keys");
    CHECK_STR(
        FILE_REFUSAL("apps: [{id: '', keys: []}]\n"), "c.yaml:1:13: apps.id: the id is empty");
    CHECK_STR(FILE_REFUSAL("apps: [{id: a b}]\n"),
        "c.yaml:1:13: apps.id: the id 'a b' may hold neither blanks nor / ? # : nor anything but "
        "ASCII");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{key: k}]}]\n"),
        "c.yaml:1:23: apps.keys: the secret is missing");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{secret: k}]}]\n"),
        "c.yaml:1:23: apps.keys: the key is missing");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{key: k, secret: ''}]}]\n"),
        "c.yaml:1:40: apps.keys.secret: the secret is empty");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{key: '', secret: s}]}]\n"),
        "c.yaml:1:29: apps.keys.key: the key is empty");
    CHECK_STR(
        FILE_REFUSAL("apps: [{id: 1, keys: k}]\n"), "c.yaml:1:22: apps.keys: expected a list");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [k]}]\n"),
        "c.yaml:1:23: apps.keys: expected a group of options");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{key: k, secret: [s]}]}]\n"),
        "c.yaml:1:40: apps.keys.secret: expected one value");
    CHECK_STR(FILE_REFUSAL(APP "    allowed_origins: [Example.com]\n"),
        "c.yaml:4:23: apps.allowed_origins: 'Example.com' is not an origin as in "
        "https://example.com, in lower case and without a path");
    CHECK_STR(FILE_REFUSAL(APP "    allowed_origins: ['*']\n"), "(accepted)");
    CHECK_STR(FILE_REFUSAL(APP "    allowed_origins: ['https://example.com/']\n"),
        "c.yaml:4:23: apps.allowed_origins: 'https://example.com/' is not an origin as in "
        "https://example.com, in lower case and without a path");
    CHECK_STR(FILE_REFUSAL(APP "    enabled: perhaps\n"),
        "c.yaml:4:14: apps.enabled: 'perhaps' is neither true nor false");
}

TEST(two_apps_may_share_neither_id_nor_key)
{
    CHECK_STR(FILE_REFUSAL(APP "  - id: one\n    keys: [{key: l, secret: s}]\n"),
        "c.yaml:4:5: app 'one' is defined twice");
    CHECK_STR(FILE_REFUSAL(APP "  - id: two\n    keys: [{key: k, secret: s}]\n"),
        "c.yaml:4:5: the key 'k' of app 'two' is already one of app 'one'");
    CHECK_STR(FILE_REFUSAL("apps: [{id: 1, keys: [{key: k, secret: s}, {key: k, secret: t}]}]\n"),
        "c.yaml:1:8: the key 'k' of app '1' is already one of app '1'");
}

TEST(apps_of_all_sources_add_up_and_the_stronger_source_wins)
{
    static const char file[] = "apps:\n"
                               "  - {id: a, keys: [{key: ka, secret: file}]}\n"
                               "  - {id: b, keys: [{key: kb, secret: file}]}\n"
                               "  - {id: c, keys: [{key: kc, secret: file}]}\n";
    struct config *c = LOAD(.file = file,
        .env_file = "PUSHER_APP_ID=b\nPUSHER_APP_KEY=kb\nPUSHER_APP_SECRET=env\n",
        .apps = {"a:ka:flag", "d:kd:flag"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_EQ(c->n_apps, 4);
    static const char *const expected[][2] = {
        {"a", "flag"}, {"b", "env"}, {"c", "file"}, {"d", "flag"}};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        const struct app *app = config_app_by_id(c, span_str(expected[i][0]));
        CHECK_STR(app ? app->keys[0].secret : NULL, expected[i][1]);
    }
    config_drop(c);
    CHECK_STR(REFUSAL(.file = file, .apps = {"x:kc:flag"}),
        "c.yaml:4:5: the key 'kc' of app 'c' is already one of app 'x'");
}

TEST(an_id_keeps_its_slot_across_loads)
{
    struct config *c = LOAD(.apps = {"s1:k1:s", "s2:k2:s"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    uint32_t first = config_app_by_id(c, span_str("s1"))->slot;
    uint32_t second = config_app_by_id(c, span_str("s2"))->slot;
    CHECK(first != second);
    CHECK(config_app_by_slot(c, first) == config_app_by_id(c, span_str("s1")));
    config_drop(c);
    c = LOAD(.apps = {"s3:k3:s", "s2:k4:s"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    uint32_t third = config_app_by_id(c, span_str("s3"))->slot;
    CHECK_EQ(config_app_by_id(c, span_str("s2"))->slot, second);
    CHECK(third != first && third != second);
    CHECK(config_app_by_slot(c, first) == NULL);
    CHECK(config_app_by_slot(c, third + 1) == NULL);
    CHECK(config_app_by_slot(c, UINT32_MAX) == NULL);
    config_drop(c);
    c = LOAD(.apps = {"s1:k9:s"});
    CHECK_EQ(c ? c->apps[0].slot : 0, first);
    config_drop(c);
}

TEST(a_refused_configuration_takes_no_slot)
{
    struct config *c = LOAD(.apps = {"r1:k:s"});
    uint32_t before = c ? c->apps[0].slot : 0;
    config_drop(c);
    CHECK(LOAD(.apps = {"r2:k:s", "r3:k:s"}) == NULL);
    CHECK(LOAD(.sets = {"host=0.0.0.0"}, .apps = {"r4:k:app-secret"}) == NULL);
    c = LOAD(.apps = {"r5:k:s"});
    CHECK_EQ(c ? c->apps[0].slot : 0, before + 1);
    config_drop(c);
}

int main(void)
{
    enter_folder();
    RUN_CLEAN(the_default_app_exists_when_no_source_defines_one);
    RUN_CLEAN(the_default_app_listens_on_loopback_only);
    RUN_CLEAN(the_well_known_secret_is_refused_off_loopback);
    RUN_CLEAN(an_app_flag_is_id_key_and_the_rest_is_secret);
    RUN_CLEAN(an_app_comes_from_the_usual_variables);
    RUN_CLEAN(an_incomplete_app_in_the_environment_names_what_is_missing);
    RUN_CLEAN(an_app_in_the_file_has_defaults_and_its_own_values);
    RUN_CLEAN(the_keys_of_an_app_sign);
    RUN_CLEAN(a_bad_app_in_the_file_is_refused_with_its_place);
    RUN_CLEAN(two_apps_may_share_neither_id_nor_key);
    RUN_CLEAN(apps_of_all_sources_add_up_and_the_stronger_source_wins);
    RUN_CLEAN(an_id_keeps_its_slot_across_loads);
    RUN_CLEAN(a_refused_configuration_takes_no_slot);
    leave_folder();
    return test_end();
}
