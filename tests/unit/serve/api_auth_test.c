/* Signed requests: what official libraries send is accepted, anything else refused. */
#include "base/base.h"

#include "serve/api_auth.h"

#include "check_span.h"
#include "wire/sign.h"

#define KEY        "278d425bdf160c739803"
#define SECRET     "7ad3773142a6692b25b8"
#define AUTH       "auth_key=" KEY "&auth_timestamp=1353088179&auth_version=1.0"
#define NO_MD5     "d41d8cd98f00b204e9800998ecf8427e" // of an empty body
#define BRACES_MD5 "99914b932bd37a50b983c5e7c90ae93b" // of {}

enum { NOW_S = 1353088179, WINDOW_S = 600 };

struct given {
    const char *method, *path, *prefix; // the path is requested behind the prefix
    const char *query;                  // without auth_signature
    const char *body;
    const char *signed_text; // NULL = as the query has it
    const char *signature;   // instead of the right one
    int64_t late_s;
    bool has_no_window;
};

static char key_name[] = KEY;
static char other_name[] = "otherkey";
static struct app_key keys[2] = {{.key = other_name}, {.key = key_name}};
static struct app app = {.keys = keys, .n_keys = 2};
static struct buf scratch, text, query, full_path;
static struct err err;

static void sign(struct given g)
{
    char hex[SIGN_HEX];
    text.len = query.len = 0;
    if (g.signed_text)
        buf_add_str(&text, g.signed_text);
    else
        buf_addf(&text, "%s\n%s\n%s", g.method, g.path, g.query);
    struct span part = buf_span(&text);
    sign_hex(&keys[1].sign, &part, 1, hex);
    buf_add_str(&query, g.query);
    buf_add_str(&query, "&auth_signature=");
    buf_add_span(&query, g.signature ? span_str(g.signature) : span_of(hex, sizeof hex));
}

/* "ok", or the refusal's text. */
static const char *check(struct given g)
{
    if (!g.method)
        g.method = "GET";
    if (!g.path)
        g.path = "/apps/3/channels";
    if (!g.query)
        g.query = AUTH;
    full_path.len = 0;
    buf_add_str(&full_path, g.prefix ? g.prefix : "");
    buf_add_str(&full_path, g.path);
    sign(g);
    struct api_auth a = {.app = &app,
        .method = span_str(g.method),
        .path = span_str(g.path),
        .full_path = buf_span(&full_path),
        .query = buf_span(&query),
        .body = span_str(g.body),
        .window_s = g.has_no_window ? 0 : WINDOW_S,
        .now_s = NOW_S + g.late_s};
    err = (struct err){0};
    if (api_auth_check(&a, &scratch, &err))
        return "ok";
    CHECK(err.status == 401 || err.status == 400);
    CHECK(strstr(err.text, SECRET) == NULL);
    return err.text;
}

#define RESULT(...) check((struct given){__VA_ARGS__})

TEST(the_documented_examples_are_accepted)
{
    CHECK_STR(RESULT(.method = "POST", .path = "/apps/3/events",
                  .query = AUTH "&body_md5=ec365a775a4cd0599faeb73354201b6f",
                  .body = "{\"name\":\"foo\",\"channels\":[\"project-3\"],"
                          "\"data\":\"{\\\"some\\\":\\\"data\\\"}\"}",
                  .signature = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
        "ok");
    CHECK_STR(RESULT(.query = AUTH "&filter_by_prefix=presence-&info=user_count",
                  .signature = "16819168891cb5dfd72b5c7a5d3d602605b26c6ba1930033b5e2eeeb65010291"),
        "ok");
    CHECK_STR(RESULT(.method = "POST", .path = "/apps/3/users/u%201/terminate_connections",
                  .query = AUTH "&body_md5=" BRACES_MD5, .body = "{}",
                  .signature = "8b02fa5c413c4f47396086c5df755ac659b1097ae2b97cca6bd583d925d5699d"),
        "ok");
    CHECK_STR(RESULT(.query = AUTH "&body_md5=" NO_MD5,
                  .signature = "5c3cd75022c4f62c35ad22f6a9cce366c860477a3b7092ca790ecfc17e6af302"),
        "ok");
}

/* What a library may sign, beside what is on the wire. */
TEST(every_variant_of_the_signed_text_is_accepted)
{
    static const struct given cases[] = {
        // the order of the parameters on the wire does not matter
        {.query = "info=a&auth_version=1.0&auth_key=" KEY "&auth_timestamp=1353088179",
            .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a"},
        // names are signed in lower case, values as they are
        {.query = "Info=User&" AUTH, .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=User"},
        {.query = "%49nfo=a&" AUTH, .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a"},
        // values are signed decoded
        {.query = AUTH "&info=user_count%2Csubscription_count",
            .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=user_count,subscription_count"},
        {.query = AUTH "&info=a%26b%3Dc",
            .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a&b=c"},
        // a plus is a plus, or a blank
        {.query = AUTH "&info=a+b", .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a+b"},
        {.query = AUTH "&info=a+b", .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a b"},
        // names that are a beginning of others, empty ones, several of one name
        {.query = AUTH "&ab=1&a=2&abc=3",
            .signed_text = "GET\n/apps/3/channels\na=2&ab=1&abc=3&" AUTH},
        {.query = AUTH "&info=", .signed_text = "GET\n/apps/3/channels\n" AUTH "&info="},
        {.query = AUTH "&x=2&x=1", .signed_text = "GET\n/apps/3/channels\n" AUTH "&x=2&x=1"},
        {.query = AUTH "&channels[]=a",
            .signed_text = "GET\n/apps/3/channels\n" AUTH "&channels[]=a"},
        // the path on the wire, or decoded
        {.path = "/apps/3/channels/a%3Db"},
        {.path = "/apps/3/channels/a%3Db", .signed_text = "GET\n/apps/3/channels/a=b\n" AUTH},
        // the path with the prefix it is mounted under, or without
        {.prefix = "/ws"},
        {.prefix = "/ws", .signed_text = "GET\n/ws/apps/3/channels\n" AUTH},
        {.prefix = "/w%20s", .signed_text = "GET\n/w s/apps/3/channels\n" AUTH},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (strcmp(check(cases[i]), "ok") != 0)
            CHECK_STR(err.text, "");
}

TEST(a_signature_may_be_in_upper_case)
{
    CHECK_STR(RESULT(.query = AUTH "&body_md5=" NO_MD5,
                  .signature = "5C3CD75022C4F62C35AD22F6A9CCE366C860477A3B7092CA790ECFC17E6AF302"),
        "ok");
}

TEST(a_wrong_signature_is_told_what_should_have_been_signed)
{
    CHECK_STR(RESULT(.signature = "abc"),
        "Invalid signature: you should have sent HmacSHA256Hex(\"GET\\n/apps/3/channels\\n" AUTH
        "\", your_secret_key), but you sent \"abc\"");
    CHECK_STR(RESULT(.path = "/apps/3/channels/a%3Db", .signature = "a%22b"),
        "Invalid signature: you should have sent HmacSHA256Hex(\"GET\\n/apps/3/channels/a=b\\n" AUTH
        "\", your_secret_key), but you sent \"a\"b\"");
    CHECK_EQ(err.status, 401);
}

TEST(what_was_signed_for_another_request_is_refused)
{
    static const struct given cases[] = {
        {.signed_text = "POST\n/apps/3/channels\n" AUTH},
        {.signed_text = "GET\n/apps/4/channels\n" AUTH},
        {.signed_text = "GET\n/apps/3/channels/\n" AUTH},
        {.signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a"},
        {.query = AUTH "&info=a", .signed_text = "GET\n/apps/3/channels\n" AUTH},
        {.query = AUTH "&info=b", .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a"},
        {.query = AUTH "&info=A", .signed_text = "GET\n/apps/3/channels\n" AUTH "&info=a"},
        {.prefix = "/ws", .signed_text = "GET\n/other/apps/3/channels\n" AUTH},
        {.signature = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK(strncmp(check(cases[i]), "Invalid signature: ", 19) == 0);
        CHECK_EQ(err.status, 401);
    }
}

TEST(a_key_signs_with_its_own_secret)
{
    CHECK_STR(RESULT(.query = "auth_key=nobody&auth_timestamp=1353088179&auth_version=1.0"),
        "Unknown auth_key");
    CHECK(strncmp(RESULT(.query = "auth_key=otherkey&auth_timestamp=1353088179&auth_version=1.0"),
              "Invalid signature: ", 19) == 0);
}

TEST(what_is_missing_is_named)
{
    CHECK_STR(RESULT(.query = "auth_timestamp=1353088179&auth_version=1.0"),
        "Missing parameter: auth_key");
    CHECK_STR(
        RESULT(.query = "auth_key=" KEY "&auth_version=1.0"), "Missing parameter: auth_timestamp");
    CHECK_STR(RESULT(.query = "auth_key=" KEY "&auth_timestamp=1353088179"),
        "Missing parameter: auth_version");
    CHECK_STR(RESULT(.signature = ""), "Missing parameter: auth_signature");
    CHECK_STR(RESULT(.query = "auth_key=&auth_timestamp=1353088179&auth_version=1.0"),
        "Missing parameter: auth_key");
    CHECK_STR(RESULT(.query = "auth_key=" KEY "&auth_timestamp=1353088179&auth_version=2.0"),
        "Invalid auth_version: only 1.0 is known");
}

TEST(a_time_may_be_off_by_the_window_either_way)
{
    CHECK_STR(RESULT(.late_s = WINDOW_S), "ok");
    CHECK_STR(RESULT(.late_s = -WINDOW_S), "ok");
    CHECK_STR(RESULT(.late_s = WINDOW_S + 1),
        "Timestamp expired: Given timestamp (2012-11-16T17:49:39Z) not within 600s of server time "
        "(2012-11-16T17:59:40Z)");
    CHECK(strncmp(RESULT(.late_s = -WINDOW_S - 1), "Timestamp expired: ", 19) == 0);
    CHECK_STR(RESULT(.late_s = 100000000, .has_no_window = true), "ok");
}

TEST(a_time_is_a_number_of_seconds)
{
    static const char *const times[] = {
        "now", "-1", "1353088179.5", "1353088179000000000000", "18446744073709551615", "0x1"};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char q[200];
        snprintf(q, sizeof q, "auth_key=" KEY "&auth_timestamp=%s&auth_version=1.0", times[i]);
        CHECK_STR(RESULT(.query = q, .has_no_window = true),
            "Invalid auth_timestamp: it must be a UNIX time in seconds");
    }
}

TEST(a_body_needs_its_md5)
{
    static const char wrong[] = "Invalid body_md5: it is not the MD5 of the body that was sent";
    CHECK_STR(RESULT(.method = "POST", .body = "{}"),
        "Missing parameter: body_md5 is required with a body");
    CHECK_STR(RESULT(.method = "POST", .body = "{}", .query = AUTH "&body_md5=" BRACES_MD5), "ok");
    CHECK_STR(RESULT(.method = "POST", .body = "{}",
                  .query = AUTH "&body_md5=99914B932BD37A50B983C5E7C90AE93B"),
        "ok");
    CHECK_STR(
        RESULT(.method = "POST", .body = "{ }", .query = AUTH "&body_md5=" BRACES_MD5), wrong);
    CHECK_STR(RESULT(.method = "POST", .body = "{}", .query = AUTH "&body_md5=99914b"), wrong);
    CHECK_STR(RESULT(.query = AUTH "&body_md5=" BRACES_MD5), wrong); // and no body
    CHECK_STR(RESULT(.method = "POST"), "ok");
}

TEST(a_query_that_cannot_be_read_is_a_bad_request)
{
    struct buf many = {0};
    CHECK_STR(RESULT(.query = AUTH "&info=%4"), "Invalid query string");
    CHECK_EQ(err.status, 400);
    CHECK_STR(RESULT(.query = AUTH "&%zz=1"), "Invalid query string");
    buf_add_str(&many, AUTH);
    for (int i = 0; i < 60; i++) // with the signature 64
        buf_addf(&many, "&p%02d=%%41", i);
    buf_add_char(&many, '\0');
    CHECK(strncmp(RESULT(.query = many.p, .signature = "x"), "Invalid signature: ", 19) == 0);
    many.len--;
    buf_add_str(&many, "&one=more");
    buf_add_char(&many, '\0');
    CHECK_STR(RESULT(.query = many.p), "Invalid query string");
    buf_fini(&many);
}

TEST(what_is_shown_of_a_wrong_request_is_bounded_and_printable)
{
    char long_query[2000] = AUTH "&info=%00%0a%7f";
    size_t n = strlen(long_query);
    memset(long_query + n, 'x', sizeof long_query - n - 1);
    long_query[sizeof long_query - 1] = '\0';
    char long_signature[900];
    memset(long_signature, 'y', sizeof long_signature - 1);
    long_signature[sizeof long_signature - 1] = '\0';
    const char *shown = RESULT(.query = long_query, .signature = long_signature);
    CHECK(strlen(shown) < 1000);
    CHECK_EQ(shown[strlen(shown) - 1], '"'); // cut where the parts are, not at the end
    for (const char *p = shown; *p; p++)
        CHECK(*p >= 0x20 && *p != 0x7f);
    CHECK(strstr(shown, "info=?\\n?xx"));
}

TEST(a_parameter_is_found_by_its_decoded_name_the_first_of_several)
{
    struct buf out = {0};
    struct span q = span_str("a=1&inf%6f=x%2Cy&info=z&flag&b=1+1&bad=%4");
    CHECK(api_param(q, "info", &out));
    CHECK_SPAN(buf_span(&out), "x,y");
    out.len = 0;
    CHECK(api_param(q, "flag", &out));
    CHECK_EQ(out.len, 0);
    CHECK(api_param(q, "b", &out));
    CHECK_SPAN(buf_span(&out), "1+1");
    CHECK(!api_param(q, "inf", &out));
    CHECK(!api_param(q, "bad", &out));
    CHECK(!api_param(span_of(NULL, 0), "a", &out));
    buf_fini(&out);
}

int main(void)
{
    sign_key_init(&keys[0].sign, span_str("another secret"));
    sign_key_init(&keys[1].sign, span_str(SECRET));
    RUN(the_documented_examples_are_accepted);
    RUN(every_variant_of_the_signed_text_is_accepted);
    RUN(a_signature_may_be_in_upper_case);
    RUN(a_wrong_signature_is_told_what_should_have_been_signed);
    RUN(what_was_signed_for_another_request_is_refused);
    RUN(a_key_signs_with_its_own_secret);
    RUN(what_is_missing_is_named);
    RUN(a_time_may_be_off_by_the_window_either_way);
    RUN(a_time_is_a_number_of_seconds);
    RUN(a_body_needs_its_md5);
    RUN(a_query_that_cannot_be_read_is_a_bad_request);
    RUN(what_is_shown_of_a_wrong_request_is_bounded_and_printable);
    RUN(a_parameter_is_found_by_its_decoded_name_the_first_of_several);
    buf_fini(&scratch);
    buf_fini(&text);
    buf_fini(&query);
    buf_fini(&full_path);
    return test_end();
}
