/* Where a configuration comes from, and every sentence that refuses a value. */
#include "base/base.h"

#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config_given.h"
#include "config_priv.h"
#include "test.h"

/* What print writes to standard output, in one static buffer. */
static const char *printed(void (*print)(const struct config *), const struct config *c)
{
    static char text[64 * 1024];
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int out = open("out.txt", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ENSURE(saved >= 0 && out >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    print(c);
    fflush(stdout);
    ENSURE(dup2(saved, STDOUT_FILENO) >= 0);
    ssize_t n = pread(out, text, sizeof text - 1, 0);
    ENSURE(n >= 0);
    text[n] = '\0';
    close(saved);
    close(out);
    return text;
}

static void print_options(const struct config *c)
{
    (void)c;
    config_print_options();
}

TEST(defaults_are_those_of_the_table)
{
    struct config *c = LOAD(.file = NULL);
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_STR(c->host, "127.0.0.1");
    CHECK_EQ(c->port, 6001);
    CHECK_STR(c->path_prefix, "");
    CHECK_EQ(c->log.level, LOG_INFO);
    CHECK_EQ(c->log.format, LOG_LOGFMT);
    CHECK_EQ(c->drain.window_ms, 30000);
    CHECK_EQ(c->limits.head_bytes, 16384);
    CHECK_EQ(c->limits.outbox_total_bytes, 268435456);
    CHECK_EQ(c->debug.echo_message_bytes, 16777216);
    CHECK_STR(c->debug.echo_path, "");
    CHECK_EQ(c->app_defaults.limits.event_data_bytes, 10240);
    CHECK_EQ(c->app_defaults.auth_timeout_s, 30);
    config_drop(c);
}

TEST(every_option_has_a_good_default_and_names_of_its_own)
{
    for (size_t i = 0; i < n_options; i++) {
        const struct option *o = &option_table[i];
        char name[OPTION_NAME];
        char other[OPTION_NAME];
        union {
            uint32_t number;
            char *text;
            bool flag;
        } at = {0};
        if (!option_store(o, span_str(o->initial), &at, &err))
            CHECK_STR(o->path, err.text);
        if (o->type >= OPTION_STRING && o->type <= OPTION_PATH)
            free(at.text);
        CHECK_EQ(option_is_number(o) && o->min >= o->max, false);
        option_env_name(o, name);
        for (size_t j = 0; j < i; j++) {
            option_env_name(&option_table[j], other);
            CHECK(strcmp(name, other) != 0);
            CHECK(strcmp(o->path, option_table[j].path) != 0);
        }
    }
    CHECK(n_options > 40);
}

TEST(the_file_wins_over_the_default)
{
    struct config *c =
        LOAD(.file = "port: 7001\nlimits:\n  head_bytes: 4096\nlog: {level: warn}\n");
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_EQ(c->port, 7001);
    CHECK_EQ(c->limits.head_bytes, 4096);
    CHECK_EQ(c->limits.headers, 100);
    CHECK_EQ(c->log.level, LOG_WARN);
    config_drop(c);
}

TEST(the_environment_wins_over_the_file)
{
    setenv("CARILLON_PORT", "7002", 1);
    setenv("CARILLON_LIMITS_HEAD_BYTES", "8192", 1);
    setenv("CARILLON_APP_DEFAULTS_AUTHORIZED_CONNECTIONS_TIMEOUT_S", "5", 1);
    struct config *c = LOAD(.file = "port: 7001\nworkers: 3\n");
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_EQ(c->port, 7002);
    CHECK_EQ(c->workers, 3);
    CHECK_EQ(c->limits.head_bytes, 8192);
    CHECK_EQ(c->apps[0].auth_timeout_s, 5);
    config_drop(c);
}

TEST(the_environment_wins_over_the_env_file_and_that_over_the_file)
{
    setenv("CARILLON_PORT", "7002", 1);
    struct config *c = LOAD(.file = "port: 7001\nworkers: 3\n",
        .env_file = "CARILLON_PORT=nonsense\nCARILLON_WORKERS=4\n");
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_EQ(c->port, 7002);
    CHECK_EQ(c->workers, 4);
    config_drop(c);
}

TEST(a_flag_wins_over_everything_and_the_last_one_counts)
{
    setenv("CARILLON_PORT", "7002", 1);
    struct config *c = LOAD(.file = "port: 7001\n", .env_file = "CARILLON_PORT=7003\n",
        .sets = {"port=7004", "port=7005", "log.format=json"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    CHECK_EQ(c->port, 7005);
    CHECK_EQ(c->log.format, LOG_JSON);
    config_drop(c);
}

TEST(the_environment_is_not_changed)
{
    struct config *c = LOAD(.env_file = "CARILLON_PORT=7003\nPUSHER_KEY=\n");
    CHECK_STR(err.text, "");
    CHECK(getenv("CARILLON_PORT") == NULL);
    CHECK(getenv("PUSHER_KEY") == NULL);
    config_drop(c);
}

TEST(a_path_gets_a_slash_in_front_and_loses_those_at_the_end)
{
    static const char *const cases[][2] = {{"path_prefix=", ""}, {"path_prefix=/", ""},
        {"path_prefix=realtime", "/realtime"}, {"path_prefix=/a/b//", "/a/b"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = LOAD(.sets = {cases[i][0]});
        CHECK_STR(err.text, "");
        CHECK_STR(c ? c->path_prefix : NULL, cases[i][1]);
        config_drop(c);
    }
    CHECK_STR(
        REFUSAL(.sets = {"path_prefix=/a?b"}), "path_prefix: '/a?b' is not a path as in /realtime");
    CHECK_STR(REFUSAL(.sets = {"debug.echo_path=/a b"}),
        "debug.echo_path: '/a b' is not a path as in /realtime");
}

TEST(an_unknown_key_names_the_nearest)
{
    CHECK_STR(FILE_REFUSAL("host: localhost\n\nprot: 7001\n"),
        "c.yaml:3:1: unknown option 'prot', did you mean 'port'?");
    CHECK_STR(FILE_REFUSAL("limits:\n  haed_bytes: 4096\n"),
        "c.yaml:2:3: unknown option 'limits.haed_bytes', did you mean 'limits.head_bytes'?");
    CHECK_STR(FILE_REFUSAL("head_bytes: 4096\n"),
        "c.yaml:1:1: unknown option 'head_bytes', did you mean 'limits.head_bytes'?");
    CHECK_STR(FILE_REFUSAL("limit:\n  head_bytes: 4096\n"),
        "c.yaml:1:1: unknown option 'limit', did you mean 'limits'?");
    CHECK_STR(FILE_REFUSAL("app:\n  - id: 1\n"),
        "c.yaml:1:1: unknown option 'app', did you mean 'apps'?");
    CHECK_STR(FILE_REFUSAL("app_defaults: {limits: {presence_member: 3}}\n"),
        "c.yaml:1:25: unknown option 'app_defaults.limits.presence_member', did you mean "
        "'app_defaults.limits.presence_members'?");
    CHECK_STR(FILE_REFUSAL("app_defaults: {enabled: false}\n"),
        "c.yaml:1:16: unknown option 'app_defaults.enabled', did you mean "
        "'app_defaults.authorized_connections.enabled'?");
}

TEST(an_unknown_key_of_an_app_names_the_nearest)
{
    CHECK_STR(FILE_REFUSAL(APP "    client_event: true\n"),
        "c.yaml:4:5: unknown option 'apps.client_event', did you mean 'apps.client_events'?");
    CHECK_STR(FILE_REFUSAL(APP "    limits:\n      presence_membres: 3\n"),
        "c.yaml:5:7: unknown option 'apps.limits.presence_membres', did you mean "
        "'apps.limits.presence_members'?");
    CHECK_STR(FILE_REFUSAL("apps:\n  - id: 1\n    keys:\n      - {kye: a, secret: b}\n"),
        "c.yaml:4:10: unknown option 'apps.keys.kye', did you mean 'apps.keys.key'?");
    CHECK_STR(FILE_REFUSAL("apps:\n  - id: 1\n    key: {a: b}\n"),
        "c.yaml:3:5: unknown option 'apps.key', did you mean 'apps.keys'?");
}

TEST(an_unknown_flag_or_variable_names_the_nearest)
{
    CHECK_STR(REFUSAL(.sets = {"prot=7001"}), "--set: unknown option 'prot', did you mean 'port'?");
    CHECK_STR(REFUSAL(.sets = {"limits.outbox=1"}),
        "--set: unknown option 'limits.outbox', did you mean 'limits.outbox_bytes'?");
    CHECK_STR(REFUSAL(.sets = {"port"}), "--set: 'port' is not option=value");
    CHECK_STR(REFUSAL(.env_file = "\nCARILLON_PROT=7001\n"),
        "c.env:2: unknown variable 'CARILLON_PROT', did you mean 'CARILLON_PORT'?");
    setenv("CARILLON_LOGLEVEL", "info", 1);
    CHECK_STR(REFUSAL(.file = NULL),
        "environment: unknown variable 'CARILLON_LOGLEVEL', did you mean 'CARILLON_LOG_LEVEL'?");
}

TEST(variables_for_tests_are_passed_over)
{
    setenv("CARILLON_BIN", "/x", 1);
    setenv("CARILLON_SERVICE_HOST", "10.0.0.1", 1);
    setenv("CARILLON_SERVICE_PORT", "6001", 1);
    setenv("CARILLON_SERVICE_PORT_HTTP", "6001", 1);
    setenv("CARILLON_PORT", "tcp://10.0.0.1:6001", 1);
    setenv("CARILLON_PORT_6001_TCP", "tcp://10.0.0.1:6001", 1);
    setenv("CARILLON_PORT_6001_TCP_ADDR", "10.0.0.1", 1);
    setenv("CARILLON_TEST_ANYTHING", "1", 1);
    CHECK_STR(REFUSAL(.file = NULL), "(accepted)");
}

TEST(a_key_given_twice_is_refused)
{
    CHECK_STR(FILE_REFUSAL("port: 7001\nhost: localhost\nport: 7001\n"),
        "c.yaml:3:1: option 'port' is given twice");
    CHECK_STR(FILE_REFUSAL("limits: {headers: 3}\nlimits: {headers: 4}\n"),
        "c.yaml:2:1: option 'limits' is given twice");
    CHECK_STR(FILE_REFUSAL("limits:\n  headers: 3\n  headers: 3\n"),
        "c.yaml:3:3: option 'limits.headers' is given twice");
    CHECK_STR(FILE_REFUSAL(APP "    id: two\n"), "c.yaml:4:5: option 'apps.id' is given twice");
    CHECK_STR(FILE_REFUSAL("apps: []\napps: []\n"), "c.yaml:2:1: option 'apps' is given twice");
    CHECK_STR(FILE_REFUSAL("apps: [{id: a, keys: [{key: k, key: k, secret: s}]}]\n"),
        "c.yaml:1:32: option 'apps.keys.key' is given twice");
}

TEST(a_number_out_of_range_is_refused)
{
    CHECK_STR(FILE_REFUSAL("port: 1\nworkers: 1\nlimits:\n  head_bytes: 12\n"),
        "c.yaml:4:15: limits.head_bytes: 12 is not between 256 and 1048576");
    CHECK_STR(FILE_REFUSAL("port: -1\n"), "c.yaml:1:7: port: -1 is not between 0 and 65535");
    CHECK_STR(FILE_REFUSAL(APP "    limits: {event_data_bytes: 0}\n"),
        "c.yaml:4:32: apps.limits.event_data_bytes: 0 is not between 1 and 16777216");
    CHECK_STR(REFUSAL(.sets = {"port=65536"}), "port: 65536 is not between 0 and 65535");
    CHECK_STR(REFUSAL(.sets = {"limits.outbox_total_bytes=4294967296"}),
        "limits.outbox_total_bytes: 4294967296 is not between 65536 and 4294967295");
    CHECK_STR(REFUSAL(.sets = {"port=99999999999999999999999"}),
        "port: 99999999999999999999999 is not between 0 and 65535");
    CHECK_STR(REFUSAL(.env_file = "CARILLON_LIMITS_HEADERS=0\n"),
        "c.env:1: CARILLON_LIMITS_HEADERS: 0 is not between 1 and 1000");
}

TEST(both_ends_of_a_range_are_good)
{
    CHECK_STR(REFUSAL(.sets = {"limits.head_bytes=256", "port=0"}), "(accepted)");
    CHECK_STR(REFUSAL(.sets = {"limits.head_bytes=1048576", "port=65535"}), "(accepted)");
    CHECK_STR(REFUSAL(.sets = {"limits.outbox_total_bytes=4294967295"}), "(accepted)");
}

TEST(a_value_of_the_wrong_type_is_refused)
{
    setenv("CARILLON_WORKERS", "", 1);
    CHECK_STR(REFUSAL(.file = NULL), "environment: CARILLON_WORKERS: '' is not a whole number");
    unsetenv("CARILLON_WORKERS");
    CHECK_STR(FILE_REFUSAL("port: ten\n"), "c.yaml:1:7: port: 'ten' is not a whole number");
    CHECK_STR(FILE_REFUSAL("port: 1e3\n"), "c.yaml:1:7: port: '1e3' is not a whole number");
    CHECK_STR(FILE_REFUSAL("port: -\n  \n"),
        "c.yaml:1:7: block sequence entries are not allowed in this context");
    CHECK_STR(FILE_REFUSAL("port: [1]\n"), "c.yaml:1:7: port: expected one value");
    CHECK_STR(FILE_REFUSAL("host:\n"), "c.yaml:1:6: host: has no value");
    CHECK_STR(FILE_REFUSAL("host: ~\n"), "c.yaml:1:7: host: has no value");
    CHECK_STR(FILE_REFUSAL("limits: 3\n"), "c.yaml:1:9: limits: expected a group of options");
    CHECK_STR(FILE_REFUSAL("- port: 1\n"), "c.yaml:1:1: the file: expected a group of options");
    CHECK_STR(FILE_REFUSAL("apps: one\n"), "c.yaml:1:7: apps: expected a list");
    CHECK_STR(FILE_REFUSAL("apps: [one]\n"), "c.yaml:1:8: apps: expected a group of options");
    CHECK_STR(FILE_REFUSAL("? [a]\n: b\n"), "c.yaml:1:3: expected the name of an option");
    CHECK_STR(FILE_REFUSAL("\"port\\0x\": 1\n"), "c.yaml:1:1: expected the name of an option");
    CHECK_STR(FILE_REFUSAL("log: {level: loud}\n"),
        "c.yaml:1:14: log.level: 'loud' is none of: error warn info debug");
    CHECK_STR(FILE_REFUSAL("app_defaults: {tls_only: maybe}\n"),
        "c.yaml:1:26: app_defaults.tls_only: 'maybe' is neither true nor false");
    CHECK_STR(FILE_REFUSAL("host: \"a\\0b\"\n"), "c.yaml:1:7: host: holds a NUL byte");
}

TEST(a_dotted_key_is_told_how_to_be_written)
{
    CHECK_STR(FILE_REFUSAL("limits.head_bytes: 4096\n"),
        "c.yaml:1:1: 'limits.head_bytes' has a dot: in a file, options stand below their group's "
        "name");
}

TEST(yes_and_no_have_several_spellings)
{
    static const char *const on[] = {"true", "True", "yes", "on", "1"};
    static const char *const off[] = {"false", "FALSE", "no", "off", "0"};
    for (size_t i = 0; i < COUNT_OF(on); i++) {
        char text[64];
        snprintf(text, sizeof text, "app_defaults: {tls_only: %s, watchlist: %s}\n", on[i], off[i]);
        struct config *c = LOAD(.file = text);
        CHECK_STR(err.text, "");
        CHECK(c && c->apps[0].tls_only);
        CHECK(c && !c->apps[0].watchlist);
        config_drop(c);
    }
}

TEST(broken_yaml_is_refused_with_its_place)
{
    CHECK_STR(FILE_REFUSAL("host: localhost\n  port: 3\n"),
        "c.yaml:2:7: mapping values are not allowed in this context");
    CHECK_STR(FILE_REFUSAL("limits: *none\n"), "c.yaml:1:9: found undefined alias");
    CHECK_STR(FILE_REFUSAL("host: \"\xff\"\n"), "c.yaml: byte 7: invalid leading UTF-8 octet");
    CHECK_STR(FILE_REFUSAL("port: 1\n---\nport: 2\n"),
        "c.yaml:2:1: a second document begins here, expected one");
}

TEST(an_alias_that_holds_itself_is_refused)
{
    CHECK_STR(FILE_REFUSAL("app_defaults: &a\n  limits: *a\n"),
        "c.yaml:2:3: unknown option 'app_defaults.limits.limits', did you mean 'limits'?");
}

TEST(an_empty_file_and_empty_groups_change_nothing)
{
    CHECK_STR(FILE_REFUSAL(""), "(accepted)");
    CHECK_STR(FILE_REFUSAL("# only this\n"), "(accepted)");
    CHECK_STR(FILE_REFUSAL("---\n"), "(accepted)");
    CHECK_STR(FILE_REFUSAL("limits:\n#  headers: 3\napps:\n"), "(accepted)");
}

TEST(a_file_that_cannot_be_read_is_refused)
{
    struct config_args args = {.file = "none.yaml"};
    CHECK(config_load(&args, &err) == NULL);
    CHECK_STR(err.text, "none.yaml: No such file or directory");
    args = (struct config_args){.env_file = "none.env"};
    CHECK(config_load(&args, &err) == NULL);
    CHECK_STR(err.text, "none.env: No such file or directory");
    args = (struct config_args){.file = "."};
    CHECK(config_load(&args, &err) == NULL);
    CHECK_STR(err.text, ".: Is a directory");
}

TEST(a_file_of_a_mebibyte_is_read_and_a_longer_one_is_not)
{
    enum { MIB = 1024 * 1024 };
    char *text = mem_alloc(MIB + 1);
    memset(text, '#', MIB + 1);
    struct config_args args = {.file = "long.yaml"};
    write_bytes("long.yaml", text, MIB);
    struct config *c = config_load(&args, &err);
    CHECK(c != NULL);
    config_drop(c);
    write_bytes("long.yaml", text, MIB + 1);
    CHECK(config_load(&args, &err) == NULL);
    CHECK_STR(err.text, "long.yaml: longer than 1048576 bytes");
    free(text);
}

static void check_env_value(const char *line, const char *expected)
{
    struct config *c = LOAD(.env_file = line, .apps = {"a:b:c"});
    CHECK_STR(err.text, "");
    CHECK_STR(c ? c->host : NULL, expected);
    config_drop(c);
}

TEST(an_env_file_is_read_as_dotenv)
{
    check_env_value("CARILLON_HOST=::1", "::1");
    check_env_value("CARILLON_HOST = ::1 \r\n", "::1");
    check_env_value("\n  # a comment\n\texport CARILLON_HOST=::1\n", "::1");
    check_env_value("export\tCARILLON_HOST=::1 # the loopback\n", "::1");
    check_env_value("CARILLON_HOST=a#b\n", "a#b");
    check_env_value("CARILLON_HOST='a # b' # c\n", "a # b");
    check_env_value("CARILLON_HOST='a\\n$b'\n", "a\\n$b");
    check_env_value("CARILLON_HOST=\"a\\n\\t\\\"\\\\\\$\\z\"\n", "a\n\t\"\\$\\z");
    check_env_value("CARILLON_HOST=\"a\nb\"\nOTHER=1\n", "a\nb");
    check_env_value("CARILLON_HOST=a\nCARILLON_HOST=b\n", "b");
    check_env_value("CARILLON_HOST=a'b\"c\n", "a'b\"c");
    check_env_value("export=1\nOTHER.NAME=${X}\nCARILLON_HOST=a=b\n", "a=b");
}

TEST(a_broken_env_file_is_refused_without_its_text)
{
    CHECK_STR(REFUSAL(.env_file = "A=1\nsecret\n"), "c.env:2: expected NAME=value");
    CHECK_STR(REFUSAL(.env_file = "=1\n"), "c.env:1: expected NAME=value");
    CHECK_STR(REFUSAL(.env_file = "1A=1\n"), "c.env:1: expected NAME=value");
    CHECK_STR(REFUSAL(.env_file = "A=1\nB=\"x\n\ny\n"), "c.env:2: the quote is never closed");
    CHECK_STR(REFUSAL(.env_file = "A='1' 2\n"), "c.env:1: more behind the closing quote");
    CHECK_STR(REFUSAL(.env_file = "A=\"\n\n\"\nCARILLON_X=1\n"),
        "c.env:4: unknown variable 'CARILLON_X', did you mean 'CARILLON_HOST'?");
    struct config_args args = {.env_file = "nul.env"};
    write_bytes("nul.env", "A=\0b\n", 5);
    CHECK(config_load(&args, &err) == NULL);
    CHECK_STR(err.text, "nul.env: holds a NUL byte");
}

TEST(a_tls_port_needs_readable_files)
{
    write_text("cert.pem", "x");
    write_text("empty.pem", "");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6443"}), "tls.port is set, but tls.cert is not");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6443", "tls.cert=cert.pem"}),
        "tls.port is set, but tls.key is not");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6443", "tls.cert=cert.pem", "tls.key=none.pem"}),
        "tls.key: cannot read 'none.pem': No such file or directory");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6443", "tls.cert=.", "tls.key=cert.pem"}),
        "tls.cert: cannot read '.': Is a directory");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6443", "tls.cert=empty.pem", "tls.key=cert.pem"}),
        "tls.cert: 'empty.pem' is empty");
    CHECK_STR(REFUSAL(.sets = {"tls.port=6001", "tls.cert=cert.pem", "tls.key=cert.pem"}),
        "tls.port and port are both 6001");
    CHECK_STR(
        REFUSAL(.sets = {"tls.port=6443", "tls.cert=cert.pem", "tls.key=cert.pem"}), "(accepted)");
    CHECK_STR(REFUSAL(.sets = {"tls.cert=none.pem"}), "(accepted)");
}

TEST(the_printed_configuration_shows_no_secret_and_loads_again)
{
    struct config *c =
        LOAD(.file = "host: \"local\\\"host\\\\\"\npath_prefix: /a\napps:\n  - id: one\n    keys:\n"
                     "      - {key: k1, secret: hush1}\n"
                     "      - {key: k2, secret: hush2}\n"
                     "    allowed_origins: [https://example.com]\n"
                     "    limits: {watchlist: 5}\n",
            .apps = {"two:k3:hush3"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    char *first = mem_dup_str(printed(config_print, c));
    config_drop(c);
    CHECK(strstr(first, "hush") == NULL);
    CHECK(strstr(first, "\n        secret: \"[redacted]\"\n") != NULL);
    CHECK(strstr(first, "host: \"local\\\"host\\\\\"\n") != NULL);
    CHECK(strstr(first, "\nlimits:\n  head_bytes: 16384\n  headers: 100\n") != NULL);
    CHECK(strstr(first, "\n    authorized_connections:\n      enabled: false\n") != NULL);
    CHECK(strstr(first, "\n      watchlist: 5\n") != NULL);
    CHECK(strstr(first, "\n      - \"https://example.com\"\n") != NULL);
    c = LOAD(.file = first);
    CHECK_STR(err.text, "");
    if (c)
        CHECK_STR(printed(config_print, c), first);
    config_drop(c);
    free(first);
}

TEST(the_options_are_printed_with_all_their_facts)
{
    const char *text = printed(print_options, NULL);
    CHECK(strstr(text, "OPTION ") == text);
    for (size_t i = 0; i < n_options; i++) {
        char line[160];
        char name[OPTION_NAME];
        snprintf(line, sizeof line, "\n%s ", option_table[i].path);
        option_env_name(&option_table[i], name);
        const char *found = strstr(text, line);
        CHECK(found != NULL);
        CHECK(found && strstr(found, name) != NULL);
        CHECK(found && strstr(found, option_table[i].sentence) != NULL);
    }
    CHECK(strstr(text, "256..1048576") != NULL);
}

TEST(a_held_configuration_lives_until_the_last_drop)
{
    struct config *c = LOAD(.apps = {"1:k:s"});
    CHECK_STR(err.text, "");
    if (!c)
        return;
    config_hold(c);
    config_drop(c);
    CHECK_STR(c->apps[0].keys[0].secret, "s");
    config_drop(c);
    config_drop(NULL);
}

static void run_reading(void)
{
    RUN_CLEAN(defaults_are_those_of_the_table);
    RUN_CLEAN(every_option_has_a_good_default_and_names_of_its_own);
    RUN_CLEAN(the_file_wins_over_the_default);
    RUN_CLEAN(the_environment_wins_over_the_file);
    RUN_CLEAN(the_environment_wins_over_the_env_file_and_that_over_the_file);
    RUN_CLEAN(a_flag_wins_over_everything_and_the_last_one_counts);
    RUN_CLEAN(the_environment_is_not_changed);
    RUN_CLEAN(a_path_gets_a_slash_in_front_and_loses_those_at_the_end);
    RUN_CLEAN(a_tls_port_needs_readable_files);
    RUN_CLEAN(the_printed_configuration_shows_no_secret_and_loads_again);
    RUN_CLEAN(the_options_are_printed_with_all_their_facts);
    RUN_CLEAN(a_held_configuration_lives_until_the_last_drop);
}

static void run_refusals(void)
{
    RUN_CLEAN(an_unknown_key_names_the_nearest);
    RUN_CLEAN(an_unknown_key_of_an_app_names_the_nearest);
    RUN_CLEAN(an_unknown_flag_or_variable_names_the_nearest);
    RUN_CLEAN(variables_for_tests_are_passed_over);
    RUN_CLEAN(a_key_given_twice_is_refused);
    RUN_CLEAN(a_number_out_of_range_is_refused);
    RUN_CLEAN(both_ends_of_a_range_are_good);
    RUN_CLEAN(a_value_of_the_wrong_type_is_refused);
    RUN_CLEAN(a_dotted_key_is_told_how_to_be_written);
    RUN_CLEAN(yes_and_no_have_several_spellings);
    RUN_CLEAN(broken_yaml_is_refused_with_its_place);
    RUN_CLEAN(an_alias_that_holds_itself_is_refused);
    RUN_CLEAN(an_empty_file_and_empty_groups_change_nothing);
    RUN_CLEAN(a_file_that_cannot_be_read_is_refused);
    RUN_CLEAN(a_file_of_a_mebibyte_is_read_and_a_longer_one_is_not);
    RUN_CLEAN(an_env_file_is_read_as_dotenv);
    RUN_CLEAN(a_broken_env_file_is_refused_without_its_text);
}

int main(void)
{
    enter_folder();
    run_reading();
    run_refusals();
    leave_folder();
    return test_end();
}
