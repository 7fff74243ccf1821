/* Durable streams beside a store that is played here, and subscribers that are behind. */
#include "base/base.h"

#include "hub/hub.h"

#include "world.h"

static struct history_rule rules[] = {
    {.pattern = (char[]){"ack-*"}, .durability = DURABILITY_ACK},
    {.pattern = (char[]){"async-*"}, .durability = DURABILITY_ASYNC},
    {.pattern = (char[]){"*"}, .durability = DURABILITY_MEMORY},
};

static void begin(unsigned seed)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        rules[i].max_events = rules[i].recover_events = 10000;
        rules[i].max_bytes = rules[i].recover_bytes = 100 << 20;
        rules[i].rewind = 100;
        rules[i].ttl_s = rules[i].meta_ttl_s = 3600;
    }
    app.history = rules;
    app.n_history = COUNT_OF(rules);
    start_with(seed, world_store);
    w.is_served = true;
    for (unsigned i = 0; i < HUBS; i++)
        hub_use_history(w.hubs[i], 1 << 30);
}

static struct letter *next_note(void)
{
    ENSURE(w.n_notes > 0);
    struct letter *l = CONTAINER_OF(w.notes[0], struct letter, mail);
    w.n_notes--;
    memmove(w.notes, w.notes + 1, w.n_notes * sizeof w.notes[0]);
    return l;
}

/* The store answers; the letter is taken. */
static void reply(struct letter *l, enum letter_kind kind)
{
    l->mail.kind = kind;
    w.posting = l->from;
    hub_receive(w.hubs[l->from], l);
}

static void find_nothing(struct letter *l)
{
    l->found = calloc(1, sizeof *l->found);
    ENSURE(l->found);
    l->found->is_absent = true;
    reply(l, LETTER_OPENED);
}

/* The store does all that it is asked. */
static void serve_notes(void)
{
    while (w.n_notes) {
        struct letter *l = next_note();
        if (l->mail.kind == LETTER_OPEN)
            find_nothing(l);
        else if (l->flag)
            reply(l, LETTER_STORED);
        else
            letter_free(l);
        settle();
    }
}

static void tell_store(bool is_up, uint32_t era)
{
    for (unsigned i = 0; i < HUBS; i++) {
        struct letter *l = calloc(1, sizeof *l);
        ENSURE(l);
        l->mail.kind = LETTER_STORE_UP;
        l->flag = is_up;
        l->era = era;
        w.posting = i;
        hub_receive(w.hubs[i], l);
    }
    settle();
}

static void recover(uint32_t wire, const char *channel, const struct position *from)
{
    struct letter ask = {.traits = (uint8_t)traits_of(channel),
        .channel = span_str(channel),
        .recovery = {.is_asked = true}};
    if (from)
        ask.recovery.from = *from;
    w.posting = w.clients[wire].hub;
    (void)hub_subscribe(w.hubs[w.posting], w.clients[wire].index, &ask);
}

/* Where the stream is, as its home says when asked to publish. */
static struct position publish_at(const char *channel, const char *data)
{
    struct letter l = event_for(channel, data);
    struct frame *frame = l.frame;
    l.info = INFO_POSITION;
    ask(0, &l);
    frame_drop(frame);
    settle();
    return w.answer.position;
}

TEST(with_ack_an_event_is_said_when_it_is_stored)
{
    for (unsigned seed = 1; seed < 20; seed++) {
        begin(seed);
        open_session(1, 0);
        (void)subscribe(0, "ack-a", NULL);
        settle();
        for (int i = 0; i < 3; i++)
            publish(draw(HUBS), "ack-a", "1");
        settle();
        CHECK_EQ(w.n_notes, 1); // what is there? the rest waits
        struct letter *l = next_note();
        CHECK_EQ(l->mail.kind, LETTER_OPEN);
        letter_free(l);
        end(); // and what waits goes with the hub
    }
}

TEST(events_keep_their_order_through_opening_and_storing)
{
    for (unsigned seed = 1; seed < 20; seed++) {
        begin(seed);
        open_session(1, 0);
        (void)subscribe(0, "ack-a", NULL);
        settle();
        for (int i = 0; i < 9; i++) {
            char data[16];
            snprintf(data, sizeof data, "\"n%d\"", i);
            publish(0, "ack-a", data);
        }
        settle();
        CHECK_EQ(count(0, "\"event\":\"e\""), 0);
        CHECK_EQ(w.n_answers, 0);
        serve_notes();
        CHECK_EQ(count(0, "\"event\":\"e\""), 9);
        CHECK_EQ(w.n_answers, 9);
        CHECK_EQ(w.answer.position.offset, 9);
        size_t at = 0;
        int n = 0;
        struct span text;
        while (next_message(0, &at, &text)) {
            char data[16];
            snprintf(data, sizeof data, "\"n%d\"", n);
            n += memmem(text.p, text.len, data, strlen(data)) != NULL;
        }
        CHECK_EQ(n, 9);
        end();
    }
}

TEST(a_failure_refuses_what_waits_and_begins_an_epoch)
{
    begin(7);
    open_session(0, 0);
    recover(0, "ack-a", NULL);
    open_session(1, 1);
    recover(1, "async-a", NULL);
    settle();
    serve_notes();
    publish(0, "async-a", "1");
    settle();
    serve_notes();
    CHECK_EQ(count(1, "\"event\":\"e\""), 1);
    publish(0, "ack-a", "1");
    settle();
    w.n_answers = 0;
    tell_store(false, 1);
    CHECK_EQ(w.n_answers, 1);
    CHECK_EQ(w.answer.result, LETTER_UNSTORED);
    CHECK_EQ(count(0, "pusher_internal:position"), 1); // another epoch
    CHECK_EQ(count(1, "pusher_internal:position"), 1);
    /* What the store says of before the failure is nothing any more. */
    while (w.n_notes)
        reply(next_note(), LETTER_STORED);
    settle();
    CHECK_EQ(count(0, "\"event\":\"e\""), 0);
    struct position at = publish_at("async-a", "2");
    CHECK_EQ(at.offset, 1);
    (void)publish_at("ack-a", "2");
    CHECK_EQ(w.answer.result, LETTER_UNSTORED);
    CHECK_EQ(w.n_notes, 0);
    tell_store(true, 1);
    CHECK_EQ(count(0, "pusher_internal:position"), 2);
    CHECK(w.n_notes >= 2); // each stream is born again
    serve_notes();
    publish(0, "ack-a", "3");
    settle();
    serve_notes();
    CHECK_EQ(count(0, "\"event\":\"e\""), 1);
    end();
}

TEST(who_waits_for_what_the_store_has_is_told_that_it_does_not_answer)
{
    struct position from = {.epoch = "e1", .offset = 4};
    begin(8);
    for (uint32_t wire = 0; wire < 2; wire++) {
        open_session(wire, wire);
        recover(wire, wire ? "async-a" : "ack-a", &from);
    }
    settle();
    CHECK_EQ(count(0, "subscription_succeeded"), 0);
    publish(0, "async-a", "1");
    publish(0, "ack-a", "1");
    settle();
    w.n_answers = 0;
    tell_store(false, 1);
    for (uint32_t wire = 0; wire < 2; wire++)
        CHECK_EQ(count(wire, "\\\"recovered\\\":false,\\\"reason\\\":\\\"unavailable\\\""), 1);
    CHECK_EQ(w.n_answers, 2);
    CHECK_EQ(count(0, "\"event\":\"e\""), 0); // refused
    CHECK_EQ(count(1, "\"event\":\"e\""), 1);
    while (w.n_notes)
        find_nothing(next_note()); // too late: nobody hears of it
    settle();
    CHECK_EQ(count(0, "subscription_succeeded") + count(1, "subscription_succeeded"), 2);
    end();
}

TEST(a_store_that_is_too_slow_refuses_ack_and_parts_from_async)
{
    begin(3);
    open_session(0, 0);
    recover(0, "async-a", NULL);
    recover(0, "ack-a", NULL);
    settle();
    serve_notes();
    w.max_notes = 0;
    struct position at = publish_at("async-a", "1");
    CHECK_EQ(at.offset, 1);
    CHECK_EQ(count(0, "\"event\":\"e\""), 1);
    CHECK_EQ(count(0, "pusher_internal:position"), 1); // under another epoch
    (void)publish_at("ack-a", "1");
    CHECK_EQ(w.answer.result, LETTER_UNSTORED);
    CHECK_EQ(count(0, "pusher_internal:position"), 1);
    w.max_notes = LETTERS;
    pass_s(1);
    struct position again = publish_at("async-a", "2");
    CHECK_EQ(again.offset, 1);
    CHECK(strcmp(again.epoch, at.epoch) != 0);
    serve_notes();
    end();
}

TEST(who_only_asks_writes_nothing)
{
    begin(4);
    open_session(0, 0);
    recover(0, "ack-a", NULL);
    settle();
    struct letter *l = next_note();
    CHECK_EQ(l->mail.kind, LETTER_OPEN);
    find_nothing(l);
    settle();
    CHECK_EQ(w.n_notes, 0);
    CHECK_EQ(count(0, "subscription_succeeded"), 1);
    end();
}

TEST(a_purge_waits_for_what_is_on_its_way_and_for_the_store)
{
    begin(5);
    open_session(0, 0);
    (void)subscribe(0, "ack-a", NULL);
    settle();
    publish(0, "ack-a", "1");
    settle();
    find_nothing(next_note());
    settle();
    struct letter purge = {.mail.kind = LETTER_PURGE, .channel = span_str("ack-a")};
    w.posting = 0;
    (void)hub_ask(w.hubs[0], &purge);
    publish(0, "ack-a", "2");
    settle();
    CHECK_EQ(w.n_answers, 0);
    serve_notes();
    CHECK_EQ(w.n_answers, 3);
    CHECK_EQ(w.answer.position.offset, 1); // of the second event: the first was purged
    CHECK_EQ(count(0, "\"event\":\"e\""), 2);
    end();
}

TEST(what_comes_behind_something_unsaid_waits_with_it)
{
    begin(6);
    open_session(0, 0);
    (void)subscribe(0, "async-a", NULL);
    settle();
    publish(0, "async-a", "1");
    settle();
    serve_notes();
    w.n_answers = 0;
    struct letter purge = {.mail.kind = LETTER_PURGE, .channel = span_str("async-a")};
    w.posting = 0;
    (void)hub_ask(w.hubs[0], &purge);
    settle();
    publish(0, "async-a", "2");
    settle();
    /* Were it said now, its offset would be lost with a purge that fails. */
    CHECK_EQ(count(0, "\"event\":\"e\""), 1);
    serve_notes();
    CHECK_EQ(count(0, "\"event\":\"e\""), 2);
    CHECK_EQ(publish_at("async-a", "3").offset, 2);
    serve_notes();
    end();
}

/* --- subscribers that are behind ---------------------------------------------------------------- */

enum { BIG = 8000, MANY = 40 };

static void publish_many(const char *channel, unsigned n)
{
    static char data[BIG];
    memset(data, 'x', sizeof data);
    data[0] = '"';
    snprintf(data + BIG - 2, 2, "\"");
    for (unsigned i = 0; i < n; i++)
        publish(0, channel, data);
    settle();
}

TEST(what_was_missed_comes_as_the_socket_takes_it)
{
    for (unsigned seed = 1; seed < 12; seed++) {
        begin(seed);
        struct position from = publish_at("far", "0");
        publish_many("far", MANY);
        open_session(seed % HUBS, 0);
        w.clients[0].is_slow = true;
        recover(0, "far", &from);
        settle();
        CHECK(hub_pending_bytes(w.hubs[seed % HUBS], w.clients[0].index) < 10 * BIG);
        CHECK_EQ(w.clients[0].got.len, 0);
        publish_many("far", 3); // behind the others
        for (int i = 0; i < 500; i++) {
            take_bytes(0, 1000);
            settle();
        }
        CHECK_EQ(count(0, "\"event\":\"e\""), MANY + 3);
        CHECK_EQ(count(0, "pusher_internal:position"), 1);
        CHECK_EQ(count(0, "\\\"offset\\\":44"), 1);
        w.clients[0].is_slow = false;
        publish(0, "far", "9");
        settle();
        CHECK_EQ(count(0, "\"event\":\"e\""), MANY + 4); // and now with everybody else
        CHECK_EQ(w.closing[HUB_SLOW] + w.closing[HUB_STALLED] + w.closing[HUB_OVERTAKEN], 0);
        end();
    }
}

TEST(who_is_behind_hears_at_once_what_is_not_of_the_stream)
{
    begin(2);
    struct position from = publish_at("private-far", "0");
    publish_many("private-far", MANY);
    open_session(1, 0);
    w.clients[0].is_slow = true;
    recover(0, "private-far", &from);
    settle();
    open_session(2, 1);
    (void)subscribe(1, "private-far", NULL);
    settle();
    struct frame *frame = pusher_event(
        span_str("\"client-x\""), span_str("private-far"), span_str("1"), span_of(NULL, 0));
    struct hub_client_event e = {.channel = span_str("private-far"), .frame = frame};
    w.posting = 2;
    hub_client_event(w.hubs[2], w.clients[1].index, &e);
    frame_drop(frame);
    settle();
    take_bytes(0, 100 * 1000); // of 320,000
    settle();
    CHECK_EQ(count(0, "client-x"), 1);
    CHECK(count(0, "\"event\":\"e\"") < MANY);
    unsubscribe(0, "private-far"); // in the middle of it
    settle();
    take_bytes(0, 1 << 30);
    settle();
    CHECK(count(0, "\"event\":\"e\"") < MANY);
    end();
}

TEST(who_is_overtaken_is_closed)
{
    for (unsigned seed = 1; seed < 8; seed++) {
        begin(seed);
        struct position from = publish_at("far", "0");
        publish_many("far", MANY);
        open_session(seed % HUBS, 0);
        w.clients[0].is_slow = true;
        recover(0, "far", &from);
        settle();
        struct letter purge = {.mail.kind = LETTER_PURGE, .channel = span_str("far")};
        ask(0, &purge);
        for (int i = 0; i < 200; i++) {
            take_bytes(0, 1000);
            settle();
        }
        CHECK_EQ(w.closing[HUB_OVERTAKEN], 1);
        end();
    }
}

int main(void)
{
    RUN(with_ack_an_event_is_said_when_it_is_stored);
    RUN(events_keep_their_order_through_opening_and_storing);
    RUN(a_failure_refuses_what_waits_and_begins_an_epoch);
    RUN(who_waits_for_what_the_store_has_is_told_that_it_does_not_answer);
    RUN(a_store_that_is_too_slow_refuses_ack_and_parts_from_async);
    RUN(who_only_asks_writes_nothing);
    RUN(a_purge_waits_for_what_is_on_its_way_and_for_the_store);
    RUN(what_comes_behind_something_unsaid_waits_with_it);
    RUN(what_was_missed_comes_as_the_socket_takes_it);
    RUN(who_is_behind_hears_at_once_what_is_not_of_the_stream);
    RUN(who_is_overtaken_is_closed);
    return test_end();
}
