/* A session with no socket: connect, subscribe, presence, client event, slow consumer, close. */
#include "base/base.h"

#include "serve/session.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "serve/notes.h"
#include "test.h"
#include "wire/pusher.h"
#include "wire/socket_id.h"

static struct house house;
static struct serve *serve;
static struct config *config;
static struct buf got[2]; // what each session's transport was given
static bool is_choked;

static int64_t write_wire(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    (void)ctx;
    if (is_choked && wire == 1)
        return 0;
    buf_add(&got[wire], bytes, len);
    return (int64_t)len;
}

static void beat(void)
{
    serve_settle(serve);
    hub_flush(serve->hub, 1, write_wire, NULL);
    serve_settle(serve); // what the flush decided: sessions to close
}

static bool has(unsigned wire, const char *text)
{
    return got[wire].len && memmem(got[wire].p, got[wire].len, text, strlen(text));
}

static struct app *make_app(void)
{
    struct app *app = mem_zero(sizeof *app);
    app->id = mem_dup_str("1");
    app->keys = mem_zero(sizeof *app->keys);
    app->n_keys = 1;
    app->keys[0].key = mem_dup_str("key");
    app->keys[0].secret = mem_dup_str("secret");
    sign_key_init(&app->keys[0].sign, span_str("secret"));
    app->enabled = app->client_events = true;
    app->limits = (struct app_limits){.channel_name_chars = 200,
        .event_name_chars = 200,
        .event_data_bytes = 10240,
        .presence_members = 10,
        .presence_member_bytes = 1024,
        .presence_user_id_chars = 128,
        .client_events_per_s = 2,
        .channels_per_connection = 10};
    return app;
}

static void start(void)
{
    config = config_new();
    config->apps = make_app();
    config->n_apps = 1;
    config->limits.outbox_bytes = 4096;
    config->limits.outbox_soft_bytes = 2048;
    config->limits.outbox_soft_ms = config->limits.outbox_stall_ms = 60000;
    config->limits.outbox_total_bytes = UINT32_MAX;
    config->limits.idle_ms = config->limits.pong_ms = 1000;
    config->limits.activity_timeout_s = 120;
    config_index_apps(config);
    house = (struct house){.n_workers = 1};
    house.workers = mem_zero(sizeof(struct serve *));
    struct serve_setup setup = {
        .house = &house, .config = config, .listener = -1, .tls_listener = -1};
    serve = house.workers[0] = serve_new(&setup);
    is_choked = false;
}

static void end(void)
{
    CHECK_EQ(counter_get(&serve->stats.sessions[TRANSPORT_WS]), 0);
    CHECK_EQ(counter_get(&hub_counts(serve->hub)->subscriptions), 0);
    CHECK_EQ(counter_get(&hub_counts(serve->hub)->channels), 0);
    serve_free_all(&house);
    free(house.workers);
    config_drop(config);
    buf_fini(&got[0]);
    buf_fini(&got[1]);
}

static struct session *open_session(uint32_t wire)
{
    struct session_claim claim = {.app = &config->apps[0], .protocol = 7};
    CHECK_EQ(session_check(&claim), CLOSE_REASONS);
    struct session_opts opts = {.app = config->apps[0].slot,
        .wire = wire,
        .at = SLAB_NONE,
        .audience = AUDIENCE_WS,
        .protocol = 7};
    return session_open(serve, &opts, span_of(NULL, 0));
}

static void say(struct session *session, const char *text)
{
    session_message(serve, session, span_str(text));
}

static void subscribe_private(struct session *session, const char *channel, const char *data)
{
    char id[SOCKET_ID_MAX];
    char hex[SIGN_HEX];
    struct buf text = {0};
    struct span parts[] = {span_of(id, session_id(serve, session, id)), span_str(":"),
        span_str(channel), span_str(":"), span_str(data)};
    sign_hex(&config->apps[0].keys[0].sign, parts, data ? 5 : 3, hex);
    buf_addf(&text,
        "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s\",\"auth\":\"key:%.*s\"",
        channel, SIGN_HEX, hex);
    if (data) {
        buf_add_str(&text, ",\"channel_data\":");
        json_quote(&text, span_str(data));
    }
    buf_add_str(&text, "}}");
    session_message(serve, session, buf_span(&text));
    buf_fini(&text);
}

TEST(it_connects_and_answers_without_a_socket)
{
    start();
    struct session *session = open_session(0);
    say(session, "{\"event\":\"pusher:ping\"}");
    say(session, "nonsense");
    beat();
    CHECK(
        has(0, "{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":\\\""));
    CHECK(has(0, "{\"event\":\"pusher:pong\",\"data\":\"{}\"}"));
    CHECK(has(0, "Invalid JSON"));
    session_close(serve, session, CLOSE_SHUTDOWN, 0);
    end();
}

TEST(it_subscribes_joins_and_relays)
{
    start();
    struct session *one = open_session(0);
    struct session *two = open_session(1);
    subscribe_private(one, "presence-x", "{\"user_id\":1,\"user_info\":{\"n\":\"A\"}}");
    CHECK(session_is_waiting(serve, one)); // presence is answered once a beat
    beat();
    CHECK(!session_is_waiting(serve, one));
    CHECK(has(0, "subscription_succeeded"));
    subscribe_private(two, "presence-x", "{\"user_id\":\"2\"}");
    beat();
    CHECK(has(0, "member_added"));
    CHECK(has(1, "{\\\"1\\\":{\\\"n\\\":\\\"A\\\"},\\\"2\\\":{}}"));
    for (int i = 0; i < 3; i++)
        say(two, "{\"event\":\"client-x\",\"channel\":\"presence-x\",\"data\":{\"a\":1},\"user_"
                 "id\":\"9\"}");
    beat();
    CHECK(has(0, "\"data\":\"{\\\"a\\\":1}\",\"user_id\":\"2\"}"));
    CHECK(!has(1, "client-x"));
    CHECK(has(1, "\"code\":4301")); // the third in a second
    session_close(serve, two, CLOSE_PEER_GONE, 0);
    beat();
    CHECK(has(0, "member_removed"));
    session_close(serve, one, CLOSE_PEER_GONE, 0);
    end();
}

TEST(what_was_said_of_a_channel_goes_with_its_subscription)
{
    start();
    struct session *a = open_session(0);
    for (int i = 0; i < 3; i++) {
        subscribe_private(a, "private-quiet", "{\"client_events\":false}");
        beat();
        CHECK_EQ(serve->notes.n, 1);
        CHECK(notes_is_silent(serve, a->index, span_str("private-quiet")));
        say(a, "{\"event\":\"pusher:unsubscribe\",\"data\":{\"channel\":\"private-quiet\"}}");
        beat();
        CHECK_EQ(serve->notes.n, 0);
    }
    subscribe_private(a, "presence-quiet", "{\"client_events\":false}"); // whom does it not say
    beat();
    CHECK_EQ(serve->notes.n, 0);
    session_close(serve, a, CLOSE_PEER_GONE, 0);
    end();
}

static void sign_in(struct session *session, const char *user_data)
{
    char id[SOCKET_ID_MAX];
    char hex[SIGN_HEX];
    struct buf text = {0};
    struct span parts[] = {
        span_of(id, session_id(serve, session, id)), span_str("::user::"), span_str(user_data)};
    sign_hex(&config->apps[0].keys[0].sign, parts, COUNT_OF(parts), hex);
    buf_addf(&text,
        "{\"event\":\"pusher:signin\",\"data\":{\"auth\":\"key:%.*s\",\"user_data\":", SIGN_HEX,
        hex);
    json_quote(&text, span_str(user_data));
    buf_add_str(&text, "}}");
    session_message(serve, session, buf_span(&text));
    buf_fini(&text);
    beat();
}

TEST(who_signs_in_twice_stays_the_same_user)
{
    static const char success[] = "{\"event\":\"pusher:signin_success\"";
    start();
    struct session *session = open_session(0);
    sign_in(session, "{\"id\":\"one\"}");
    CHECK(has(0, success));
    got[0].len = 0;
    sign_in(session, "{\"id\":\"one\",\"user_info\":{\"n\":2}}");
    CHECK(has(0, success));
    got[0].len = 0;
    sign_in(session, "{\"id\":\"two\"}");
    CHECK(!has(0, success));
    CHECK(has(0, "The connection is signed in as another user"));
    CHECK(span_is(hub_user(serve->hub, session->index), "one"));
    CHECK_EQ(counter_get(&hub_counts(serve->hub)->users), 1);
    CHECK_EQ(counter_get(&serve->stats.counters[COUNTER_SIGNIN_REFUSED]), 1);
    session_close(serve, session, CLOSE_SHUTDOWN, 0);
    CHECK_EQ(counter_get(&hub_counts(serve->hub)->users), 0);
    end();
}

TEST(a_wrong_signature_joins_nothing)
{
    start();
    struct session *session = open_session(0);
    say(session, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"private-x\",\"auth\":"
                 "\"key:00\"}}");
    beat();
    CHECK(has(0, "Invalid signature: Expected HMAC SHA256 hex digest of "));
    CHECK(has(0, "pusher:subscription_error"));
    CHECK_EQ(hub_n_subscriptions(serve->hub, session->index), 0);
    session_close(serve, session, CLOSE_SHUTDOWN, 0);
    end();
}

TEST(a_transport_that_takes_nothing_ends_its_session_and_no_other)
{
    char event[600];
    start();
    struct session *one = open_session(0);
    (void)open_session(1);
    subscribe_private(one, "private-x", NULL);
    subscribe_private(session_at(serve, 1), "private-x", NULL);
    beat();
    is_choked = true;
    struct span name = span_str("private-x");
    memset(event, 'x', sizeof event);
    event[0] = event[sizeof event - 1] = '"';
    for (int i = 0; i < 20; i++) {
        struct letter ask = {.mail.kind = LETTER_PUBLISH,
            .channel = name,
            .app = config->apps[0].slot,
            .traits = CHANNEL_PRIVATE};
        ask.frame =
            pusher_event(span_str("\"e\""), name, span_of(event, sizeof event), span_of(NULL, 0));
        CHECK_EQ(hub_ask(serve->hub, &ask), HUB_DONE);
        frame_drop(ask.frame);
        beat();
    }
    CHECK_EQ(counter_get(&serve->stats.closes[CLOSE_SLOW_READER]), 1);
    CHECK_EQ(counter_get(&serve->stats.sessions[TRANSPORT_WS]), 1);
    CHECK_EQ(session_at(serve, one->index)->state, SESSION_OPEN);
    session_close(serve, one, CLOSE_SHUTDOWN, 0);
    end();
}

TEST(silence_is_asked_about_and_then_ended)
{
    start();
    struct session *session = open_session(0);
    serve->client_ms += 1001;
    session_sweep(serve, session);
    beat();
    CHECK(has(0, "\x89")); // a PING control frame
    serve->client_ms += 500;
    session_heard(serve, session);
    serve->client_ms += 600;
    session_sweep(serve, session);
    CHECK_EQ(session->state, SESSION_OPEN);
    serve->client_ms += 1001;
    session_sweep(serve, session);
    serve->client_ms += 1001;
    session_sweep(serve, session);
    CHECK_EQ(counter_get(&serve->stats.closes[CLOSE_PONG_TIMEOUT]), 1);
    end();
}

int main(void)
{
    hash_init();
    socket_id_init();
    log_setup(LOG_ERROR, LOG_LOGFMT);
    RUN(it_connects_and_answers_without_a_socket);
    RUN(it_subscribes_joins_and_relays);
    RUN(what_was_said_of_a_channel_goes_with_its_subscription);
    RUN(who_signs_in_twice_stays_the_same_user);
    RUN(a_wrong_signature_joins_nothing);
    RUN(a_transport_that_takes_nothing_ends_its_session_and_no_other);
    RUN(silence_is_asked_about_and_then_ended);
    return test_end();
}
