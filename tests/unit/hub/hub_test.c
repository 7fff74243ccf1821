/* Several hubs in one thread: letters arrive in any interleaving that keeps each pair's order. */
#include "base/base.h"

#include "hub/hub.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/map.h"
#include "test.h"
#include "wire/pusher.h"

enum { HUBS = 3, LETTERS = 4096 };

struct post {
    unsigned from;
    struct mail *letter;
};

struct world {
    struct hub *hubs[HUBS];
    struct outbox_pool pools[HUBS];
    struct post box[HUBS][LETTERS]; // letters on their way to each hub, in the order of posting
    unsigned n_box[HUBS];
    unsigned posting;        // the hub that is at work
    struct buf got[HUBS][8]; // what the sessions' sockets got, by wire
    unsigned seed;
};

static struct world w;

static unsigned draw(unsigned below)
{
    w.seed = w.seed * 1103515245U + 12345U;
    return (w.seed >> 16) % below;
}

static void post(void *ctx, unsigned to, struct mail *letter)
{
    (void)ctx;
    ENSURE(w.n_box[to] < LETTERS);
    w.box[to][w.n_box[to]++] = (struct post){w.posting, letter};
}

/* Any letter may come next whose sender has none before it in the box. */
static void deliver_one(unsigned to)
{
    unsigned pick = draw(w.n_box[to]);
    for (unsigned i = 0; i < pick; i++)
        if (w.box[to][i].from == w.box[to][pick].from)
            pick = i;
    struct mail *letter = w.box[to][pick].letter;
    for (unsigned i = pick + 1; i < w.n_box[to]; i++)
        w.box[to][i - 1] = w.box[to][i];
    w.n_box[to]--;
    w.posting = to;
    if (letter->kind == LETTER_ANSWER)
        letter_free(CONTAINER_OF(letter, struct letter, mail));
    else
        hub_receive(w.hubs[to], CONTAINER_OF(letter, struct letter, mail));
}

static int64_t write_wire(void *ctx, uint32_t wire, const char *bytes, size_t len)
{
    buf_add(&w.got[(size_t)(uintptr_t)ctx][wire], bytes, len);
    return (int64_t)len;
}

static bool has_mail(void)
{
    for (unsigned i = 0; i < HUBS; i++)
        if (w.n_box[i])
            return true;
    return false;
}

/* Runs every hub's beats until nobody has anything left to do. */
static void settle(void)
{
    uint32_t index;
    do {
        while (has_mail()) {
            unsigned to = draw(HUBS);
            if (w.n_box[to])
                deliver_one(to);
        }
        for (unsigned i = 0; i < HUBS; i++) {
            w.posting = i;
            hub_settle(w.hubs[i]);
            while (hub_next_ready(w.hubs[i], &index))
                ;
            hub_flush(w.hubs[i], 1, write_wire, (void *)(uintptr_t)i);
        }
    } while (has_mail());
}

static struct app app = {.enabled = true,
    .client_events = true,
    .watchlist = true,
    .cache_ttl_s = 60,
    .limits = {.presence_members = 2, .watchlist = 10, .channel_name_chars = 200}};

static void start(unsigned seed)
{
    memset(&w, 0, sizeof w);
    w.seed = seed;
    for (unsigned i = 0; i < HUBS; i++) {
        outbox_pool_init(&w.pools[i]);
        struct hub_setup setup = {.worker = i,
            .n_workers = HUBS,
            .outboxes = &w.pools[i],
            .limits = {1 << 20, 1 << 20, 1000, 1000, 1 << 30},
            .post = post};
        w.hubs[i] = hub_new(&setup);
        hub_use_apps(w.hubs[i], &app, 1);
        hub_now(w.hubs[i], 1);
    }
}

static void end(void)
{
    settle();
    for (unsigned i = 0; i < HUBS; i++) {
        const struct hub_counts *counts = hub_counts(w.hubs[i]);
        CHECK_EQ(counter_get(&counts->subscriptions), 0);
        CHECK_EQ(counter_get(&counts->home_channels), 0);
        CHECK_EQ(counter_get(&counts->users), 0);
    }
    for (unsigned i = 0; i < HUBS; i++) {
        hub_free(w.hubs[i]);
        outbox_pool_fini(&w.pools[i]);
        for (unsigned k = 0; k < COUNT_OF(w.got[i]); k++)
            buf_fini(&w.got[i][k]);
    }
}

static uint32_t open_session(unsigned hub, uint32_t wire)
{
    return hub_open(w.hubs[hub], wire, AUDIENCE_WS, wire + 1);
}

static void subscribe(unsigned hub, uint32_t index, const char *channel, const char *user)
{
    unsigned traits;
    bool ok = pusher_channel(span_str(channel), 200, &traits);
    ENSURE(ok);
    struct letter ask = {
        .traits = (uint8_t)traits, .channel = span_str(channel), .user = span_str(user)};
    w.posting = hub;
    (void)hub_subscribe(w.hubs[hub], index, &ask);
}

static void publish(unsigned hub, const char *channel, const char *data)
{
    unsigned traits;
    bool ok = pusher_channel(span_str(channel), 200, &traits);
    ENSURE(ok);
    struct letter ask = {
        .mail.kind = LETTER_PUBLISH, .traits = (uint8_t)traits, .channel = span_str(channel)};
    ask.frame = pusher_event(span_str("\"e\""), ask.channel, span_str(data), span_of(NULL, 0));
    w.posting = hub;
    (void)hub_ask(w.hubs[hub], &ask);
    frame_drop(ask.frame);
}

static size_t count(unsigned hub, uint32_t wire, const char *text)
{
    const struct buf *got = &w.got[hub][wire];
    size_t n = 0;
    const char *at = got->p;
    while (at && (at = memmem(at, got->len - (size_t)(at - got->p), text, strlen(text)))) {
        at += strlen(text);
        n++;
    }
    return n;
}

TEST(everyone_sees_one_order_wherever_they_are)
{
    for (unsigned seed = 1; seed < 40; seed++) {
        uint32_t session[HUBS];
        start(seed);
        for (unsigned i = 0; i < HUBS; i++) {
            session[i] = open_session(i, 0);
            subscribe(i, session[i], "news", NULL);
        }
        settle();
        for (unsigned i = 0; i < HUBS; i++)
            w.got[i][0].len = 0;
        for (int k = 0; k < 30; k++) {
            char data[16];
            snprintf(data, sizeof data, "\"%d\"", k);
            publish(draw(HUBS), "news", data);
            if (draw(4) == 0)
                settle();
        }
        settle();
        CHECK_EQ(count(0, 0, "\"event\":\"e\""), 30);
        for (unsigned i = 1; i < HUBS; i++)
            CHECK(span_eq(buf_span(&w.got[0][0]), buf_span(&w.got[i][0])));
        for (unsigned i = 0; i < HUBS; i++) {
            w.posting = i;
            hub_close(w.hubs[i], session[i], NULL);
        }
        end();
    }
}

TEST(presence_is_by_user_across_workers_and_capped)
{
    for (unsigned seed = 1; seed < 40; seed++) {
        uint32_t a;
        uint32_t a2;
        uint32_t b;
        uint32_t c;
        start(seed);
        subscribe(0, a = open_session(0, 0), "presence-room", "a");
        settle();
        subscribe(1, b = open_session(1, 0), "presence-room", "b");
        settle();
        subscribe(2, c = open_session(2, 0), "presence-room", "c");  // one too many
        subscribe(2, a2 = open_session(2, 1), "presence-room", "a"); // a second tab passes
        settle();
        CHECK_EQ(count(0, 0, "member_added"), 1);
        CHECK_EQ(count(1, 0, "member_added"), 0);
        CHECK_EQ(count(2, 0, "LimitReached"), 1);
        CHECK_EQ(count(2, 1, "subscription_succeeded"), 1);
        CHECK_EQ(count(2, 1, "\\\"count\\\":2"), 1);
        w.posting = 0;
        hub_close(w.hubs[0], a, NULL);
        settle();
        CHECK_EQ(count(1, 0, "member_removed"), 0); // the other tab is still there
        w.posting = 2;
        hub_close(w.hubs[2], a2, NULL);
        hub_close(w.hubs[2], c, NULL);
        settle();
        CHECK_EQ(count(1, 0, "member_removed"), 1);
        w.posting = 1;
        hub_close(w.hubs[1], b, NULL);
        end();
    }
}

TEST(a_session_that_goes_before_the_answer_leaves_nothing)
{
    for (unsigned seed = 1; seed < 60; seed++) {
        start(seed);
        for (unsigned i = 0; i < HUBS; i++) {
            struct span ids[] = {span_str("friend"), span_str("other")};
            struct hub_signin signin = {.user = span_str("me"),
                .user_data = span_str("{}"),
                .watchlist = ids,
                .n_watchlist = 2};
            uint32_t one = open_session(i, 0);
            uint32_t two = open_session(i, 1);
            subscribe(i, one, seed % 2 ? "presence-x" : "y", "u");
            w.posting = i;
            (void)hub_signin(w.hubs[i], two, &signin);
            if (draw(2) && w.n_box[i])
                deliver_one(i);
            w.posting = i;
            hub_close(w.hubs[i], one, NULL);
            hub_close(w.hubs[i], two, NULL);
        }
        end();
    }
}

TEST(joiners_of_one_beat_share_a_snapshot_and_are_not_told_of_each_other)
{
    static struct app roomy;
    roomy = app;
    roomy.limits.presence_members = 100;
    start(3);
    uint32_t session[4];
    for (unsigned i = 0; i < HUBS; i++)
        hub_use_apps(w.hubs[i], &roomy, 1);
    for (uint32_t k = 0; k < 4; k++) {
        char user[2] = {(char)('a' + k), 0};
        session[k] = open_session(0, k);
        subscribe(0, session[k], "presence-x", user);
    }
    settle();
    for (uint32_t k = 0; k < 4; k++) {
        CHECK_EQ(count(0, k, "subscription_succeeded"), 1);
        CHECK_EQ(count(0, k, "\\\"count\\\":4"), 1);
        CHECK_EQ(count(0, k, "member_added"), 0);
    }
    w.posting = 0;
    for (uint32_t k = 0; k < 4; k++)
        hub_close(w.hubs[0], session[k], NULL);
    end();
}

TEST(memory_is_given_back_only_when_nothing_is_listed_for_the_flush)
{
    start(5);
    uint32_t index = hub_open(w.hubs[0], 0, AUDIENCE_WS, 1);
    hub_send(w.hubs[0], index, span_str("{}"));
    hub_close(w.hubs[0], index, NULL);
    hub_trim(w.hubs[0]); // the flush still looks at the one who has gone
    hub_flush(w.hubs[0], 1, write_wire, NULL);
    hub_trim(w.hubs[0]);
    CHECK(!hub_has_output(w.hubs[0]));
    end();
}

TEST(a_cache_outlives_its_subscribers_and_nothing_else_does)
{
    start(5);
    publish(0, "cache-x", "\"1\"");
    publish(1, "plain", "\"1\"");
    settle();
    uint64_t n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += counter_get(&hub_counts(w.hubs[i])->channels);
    CHECK_EQ(n, 1);
    uint32_t late = open_session(2, 0);
    subscribe(2, late, "cache-x", NULL);
    settle();
    CHECK_EQ(count(2, 0, "\"data\":\"1\""), 1);
    w.posting = 2;
    hub_close(w.hubs[2], late, NULL);
    end();
}

int main(void)
{
    hash_init();
    RUN(everyone_sees_one_order_wherever_they_are);
    RUN(presence_is_by_user_across_workers_and_capped);
    RUN(a_session_that_goes_before_the_answer_leaves_nothing);
    RUN(joiners_of_one_beat_share_a_snapshot_and_are_not_told_of_each_other);
    RUN(memory_is_given_back_only_when_nothing_is_listed_for_the_flush);
    RUN(a_cache_outlives_its_subscribers_and_nothing_else_does);
    return test_end();
}
