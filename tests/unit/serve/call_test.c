/* API requests that several workers answer. */
#include "base/base.h"

#include "serve/call.h"

#include "served.h"
#include "wire/json.h"
#include "wire/sign.h"

enum { WORKERS = 3, CHANNELS = 6 }; // so many channels have several homes

static const char *const names[CHANNELS] = {"c0", "c1", "c2", "c3", "c4", "c5"};
static struct buf request, body;

/* A signed request of the default app, in request. */
static const char *signed_request(const char *method, const char *path, const char *info)
{
    char hex[SIGN_HEX];
    char md5[MD5_HEX];
    char query[300];
    struct buf text = {0};
    sign_md5_hex(buf_span(&body), md5);
    snprintf(query, sizeof query,
        "auth_key=app-key&auth_timestamp=%lld&auth_version=1.0&body_md5=%.*s%s",
        (long long)(clock_wall_ms() / 1000), MD5_HEX, md5, info);
    buf_addf(&text, "%s\n/apps/app-id/%s\n%s", method, path, query);
    struct span part = buf_span(&text);
    sign_hex(&served.config->apps[0].keys[0].sign, &part, 1, hex);
    request.len = 0;
    buf_addf(&request, "%s /apps/app-id/%s?%s&auth_signature=%.*s HTTP/1.1\r\nHost: h\r\n", method,
        path, query, SIGN_HEX, hex);
    if (body.len)
        buf_addf(&request, "Content-Length: %zu\r\n", body.len);
    buf_add_str(&request, "\r\n");
    buf_add_span(&request, buf_span(&body));
    buf_add_char(&request, '\0');
    buf_fini(&text);
    return request.p;
}

static const char *get(const char *path, const char *info)
{
    body.len = 0;
    return signed_request("GET", path, info);
}

static const char *post(const char *path, const char *text)
{
    body.len = 0;
    buf_add_str(&body, text);
    return signed_request("POST", path, "");
}

/* Each a session on its worker: subscribed to every channel, and to a room. */
static void join_all(struct peer *p, unsigned worker)
{
    char text[200];
    peer_open_session(p, worker);
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(text, sizeof text,
            "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s\"}}", names[i]);
        message(p, text);
    }
    snprintf(text, sizeof text, "\"channel\":\"%s\",\"data\":\"{}\"}", names[CHANNELS - 1]);
    CHECK(gets(p, text));
    forget(p);
}

/* What stands behind the head of the one answer that p got. */
static const char *answer(const struct peer *p)
{
    const char *end = p->got.len ? strstr(p->got.p, "\r\n\r\n") : NULL;
    return end ? end + 4 : "no answer";
}

static bool is_answered(struct peer *p, const char *text)
{
    return asks(p, text, "\r\n\r\n") && gets(p, "}") && strncmp(p->got.p, "HTTP/1.1 200 ", 13) == 0;
}

/* One worker's turn alone. */
static void turn_one(unsigned worker)
{
    struct serve *s = served.workers[worker];
    loop_wait(&s->loop, 0);
    serve_sockets(s);
    serve_mail(s);
    serve_settle(s);
    serve_flush(s);
    serve_reap(s);
}

/* --- answers ----------------------------------------------------------------------------------------- */

static const char all_names[] = "\"channels\":[\"c0\",\"c1\",\"c2\",\"c3\",\"c4\",\"c5\"]";

static const char *post_to_all(const char *more)
{
    char text[300];
    snprintf(text, sizeof text, "{\"name\":\"e\",\"data\":\"x\",%s%s}", all_names, more);
    return post("events", text);
}

TEST(an_event_for_many_channels_is_answered_once_and_heard_by_all)
{
    struct peer p;
    struct peer hearers[WORKERS];
    START(.n_workers = WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        join_all(&hearers[i], i);
    peer_open(&p, 0);
    CHECK(is_answered(&p, post_to_all("")));
    CHECK_STR(answer(&p), "{}");
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int c = 0; c < CHANNELS; c++) {
            char text[100];
            snprintf(
                text, sizeof text, "{\"event\":\"e\",\"channel\":\"%s\",\"data\":\"x\"}", names[c]);
            CHECK(gets(&hearers[i], text));
            CHECK_EQ(count(&hearers[i], text), 1);
        }
        peer_close(&hearers[i]);
    }
    peer_close(&p);
    end();
}

TEST(the_counts_of_every_home_are_in_the_answer)
{
    struct peer p;
    struct peer hearers[WORKERS];
    START(.n_workers = WORKERS);
    for (unsigned i = 0; i < WORKERS; i++)
        join_all(&hearers[i], i);
    peer_open(&p, 0);
    CHECK(is_answered(&p, post_to_all(",\"info\":\"subscription_count,user_count\"")));
    CHECK_STR(answer(&p),
        "{\"channels\":{\"c0\":{\"subscription_count\":3},\"c1\":{\"subscription_count\":3},"
        "\"c2\":{\"subscription_count\":3},\"c3\":{\"subscription_count\":3},"
        "\"c4\":{\"subscription_count\":3},\"c5\":{\"subscription_count\":3}}}");
    CHECK(is_answered(&p, get("channels/c3", "&info=subscription_count")));
    CHECK_STR(answer(&p), "{\"occupied\":true,\"subscription_count\":3}");
    CHECK(is_answered(&p, get("channels/c9", "&info=subscription_count")));
    CHECK_STR(answer(&p), "{\"occupied\":false,\"subscription_count\":0}");
    CHECK(is_answered(&p, get("channels/c3/stats", "")));
    CHECK_STR(answer(&p), "{\"occupied\":true,\"user_count\":0,\"connection_count\":3}");
    for (unsigned i = 0; i < WORKERS; i++)
        peer_close(&hearers[i]);
    peer_close(&p);
    end();
}

TEST(the_answers_to_a_batch_stand_in_its_order)
{
    struct peer p;
    struct peer hearer;
    START(.n_workers = WORKERS);
    join_all(&hearer, 1);
    peer_open(&p, 0);
    CHECK(is_answered(&p,
        post("batch_events",
            "{\"batch\":[{\"channel\":\"c0\",\"name\":\"e\",\"data\":\"1\"},"
            "{\"channel\":\"none\",\"name\":\"e\",\"data\":\"2\",\"info\":\"subscription_count\"},"
            "{\"channel\":\"c1\",\"name\":\"e\",\"data\":\"3\",\"info\":\"subscription_count\"},"
            "{\"channel\":\"presence-x\",\"name\":\"e\",\"data\":\"4\",\"info\":\"user_count\"}]"
            "}")));
    CHECK_STR(answer(&p), "{\"batch\":[{},{\"subscription_count\":0},{\"subscription_count\":1},{"
                          "\"user_count\":0}]}");
    CHECK(is_answered(&p,
        post("batch_events", "{\"batch\":[{\"channel\":\"c0\",\"name\":\"e\",\"data\":\"1\"}]}")));
    CHECK_STR(answer(&p), "{}");
    peer_close(&hearer);
    peer_close(&p);
    end();
}

TEST(channels_of_all_workers_are_one_object)
{
    struct peer p;
    struct peer hearer;
    START(.n_workers = WORKERS);
    peer_open(&p, 2);
    CHECK(is_answered(&p, get("channels", "")));
    CHECK_STR(answer(&p), "{\"channels\":{}}");
    join_all(&hearer, 1);
    forget(&p);
    say(&p, get("channels", ""));
    CHECK(gets(&p, "}}}"));
    struct json root;
    struct json name;
    struct json item;
    struct json_field fields[] = {{"channels", {0}}};
    unsigned seen = 0;
    size_t at = 0;
    CHECK(json_parse_fields(span_str(answer(&p)), &root, fields, 1));
    while (json_next_member(&fields[0].value, &at, &name, &item)) {
        CHECK(json_inner(&name).len == 2);
        seen |= 1U << (json_inner(&name).p[1] - '0');
    }
    CHECK_EQ(seen, (1U << CHANNELS) - 1);
    peer_close(&hearer);
    peer_close(&p);
    end();
}

TEST(a_cached_event_is_shown_with_its_time)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    for (int i = 0; i < CHANNELS; i++) { // some of them at home elsewhere
        char path[50];
        char text[100];
        snprintf(path, sizeof path, "channels/cache-%d", i);
        CHECK(is_answered(&p, get(path, "&info=cache")));
        CHECK_STR(answer(&p), "{\"occupied\":false,\"cache\":null}");
        snprintf(
            text, sizeof text, "{\"name\":\"e\",\"channel\":\"cache-%d\",\"data\":\"x\\\"\"}", i);
        CHECK(is_answered(&p, post("events", text)));
        CHECK(is_answered(&p, get(path, "&info=cache")));
        CHECK_STR(answer(&p), "{\"occupied\":false,\"cache\":{\"data\":\"x\\\"\",\"ttl\":1800}}");
    }
    peer_close(&p);
    end();
}

TEST(nobody_to_list_or_to_terminate_is_an_empty_answer)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    CHECK(is_answered(&p, get("channels/presence-x/users", "")));
    CHECK_STR(answer(&p), "{\"users\":[]}");
    for (int i = 0; i < CHANNELS; i++) {
        char path[50];
        snprintf(path, sizeof path, "users/u%d/terminate_connections", i);
        CHECK(is_answered(&p, post(path, "{}")));
        CHECK_STR(answer(&p), "{}");
    }
    peer_close(&p);
    end();
}

TEST(the_deprecated_event_is_accepted_with_202)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    for (int i = 0; i < CHANNELS; i++) {
        char path[50];
        snprintf(path, sizeof path, "channels/%s/events", names[i]);
        body.len = 0;
        buf_add_str(&body, "data");
        CHECK(asks(&p, signed_request("POST", path, "&name=e"), "\r\n\r\n{}"));
        CHECK_EQ(strncmp(p.got.p, "HTTP/1.1 202 ", 13), 0);
    }
    peer_close(&p);
    end();
}

/* --- while it waits ------------------------------------------------------------------------------------ */

TEST(it_waits_for_all_homes_and_what_comes_behind_waits_too)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    say(&p, get("channels", ""));
    say(&p, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    turn_one(0);
    turn_one(1); // answers; 2 does not
    turn_one(0);
    peer_read(&p);
    CHECK_EQ(p.got.len, 0);
    CHECK_EQ(n_in(CONN_ANSWER), 1);
    CHECK(gets(&p, "ok\n"));
    CHECK(strstr(p.got.p, "{\"channels\":{}}") < strstr(p.got.p, "ok\n"));
    CHECK_EQ(n_in(CONN_ANSWER), 0);
    peer_close(&p);
    end();
}

TEST(an_answer_for_a_connection_that_went_is_nobodys)
{
    struct peer hearer;
    START(.n_workers = WORKERS);
    join_all(&hearer, 1);
    for (int i = 0; i < CHANNELS; i++) { // some of them at home elsewhere
        struct peer p;
        struct peer next;
        char path[50];
        peer_open(&p, 0);
        say(&p, get("channels", ""));
        turn_one(0);
        CHECK_EQ(n_in(CONN_ANSWER), 1);
        conn_kill(served.workers[0], conn_at(served.workers[0], 0));
        serve_reap(served.workers[0]);
        peer_drop(&p);
        peer_open(&next, 0); // in the same slot, with a request of its own that may wait
        CHECK_EQ(served.workers[0]->conns.live, 1);
        snprintf(path, sizeof path, "channels/%s", names[i]);
        CHECK(is_answered(&next, get(path, "&info=subscription_count")));
        CHECK_STR(answer(&next), "{\"occupied\":true,\"subscription_count\":1}");
        for (int k = 0; k < 5; k++)
            turn();
        peer_read(&next);
        CHECK_EQ(count(&next, "HTTP/1.1"), 1);
        peer_close(&next);
    }
    peer_close(&hearer);
    end();
}

TEST(a_peer_that_ends_its_half_while_it_waits_gets_the_answer_and_an_end)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    say(&p, get("channels", ""));
    turn_one(0);
    ENSURE(shutdown(p.fd, SHUT_WR) == 0);
    turn_one(0);
    CHECK_EQ(n_in(CONN_ANSWER), 1);
    CHECK(gets(&p, NULL));
    CHECK_STR(answer(&p), "{\"channels\":{}}");
    peer_close(&p);
    CHECK_EQ(served.house.n_conns, 0);
    end();
}

TEST(a_reload_while_it_waits_does_not_disturb_it)
{
    struct peer p;
    struct err err;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    say(&p, post_to_all(",\"info\":\"subscription_count\""));
    turn_one(0);
    struct new_config *letter = mem_zero(sizeof *letter);
    letter->mail.kind = SERVE_LETTER_CONFIG;
    letter->config = config_load(&(struct config_args){0}, &err);
    ENSURE(letter->config);
    config_drop(served.config); // the other workers and this one hold it still
    served.config = letter->config;
    config_hold(served.config);
    serve_post(served.workers[0], &letter->mail);
    turn_one(0);
    CHECK(gets(&p, "}}}"));
    CHECK_EQ(count(&p, "{\"subscription_count\":0}"), CHANNELS);
    peer_close(&p);
    end();
}

TEST(an_end_with_answers_on_their_way_leaves_nothing)
{
    struct peer p;
    START(.n_workers = WORKERS);
    peer_open(&p, 0);
    say(&p, get("channels", ""));
    turn_one(0);
    CHECK_EQ(n_in(CONN_ANSWER), 1);
    end(); // which checks it
    peer_drop(&p);
}

int main(void)
{
    served_init();
    RUN(an_event_for_many_channels_is_answered_once_and_heard_by_all);
    RUN(the_counts_of_every_home_are_in_the_answer);
    RUN(the_answers_to_a_batch_stand_in_its_order);
    RUN(channels_of_all_workers_are_one_object);
    RUN(a_cached_event_is_shown_with_its_time);
    RUN(nobody_to_list_or_to_terminate_is_an_empty_answer);
    RUN(the_deprecated_event_is_accepted_with_202);
    RUN(it_waits_for_all_homes_and_what_comes_behind_waits_too);
    RUN(an_answer_for_a_connection_that_went_is_nobodys);
    RUN(a_peer_that_ends_its_half_while_it_waits_gets_the_answer_and_an_end);
    RUN(a_reload_while_it_waits_does_not_disturb_it);
    RUN(an_end_with_answers_on_their_way_leaves_nothing);
    buf_fini(&request);
    buf_fini(&body);
    return test_end();
}
