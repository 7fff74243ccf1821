/* Questions about histories that wait for the next event. */
#include "base/base.h"

#include "hub/hub.h"

#include "world.h"

static struct history_rule rules[] = {
    {.pattern = (char[]){"ack-*"}, .durability = DURABILITY_ACK},
    {.pattern = (char[]){"kept-*"}, .durability = DURABILITY_MEMORY},
};

static void begin(unsigned seed)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        rules[i].max_events = rules[i].recover_events = 100;
        rules[i].max_bytes = rules[i].recover_bytes = 1 << 20;
        rules[i].ttl_s = rules[i].meta_ttl_s = 3600;
    }
    app.history = rules;
    app.n_history = COUNT_OF(rules);
    start_with(seed, world_store);
    for (unsigned i = 0; i < HUBS; i++)
        hub_use_history(w.hubs[i], 1 << 30);
}

static uint64_t sum_askers(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HUBS; i++)
        n += counter_get(&hub_counts(w.hubs[i])->askers);
    return n;
}

static struct letter question(const char *channel, const struct history_query *q, uint32_t request)
{
    return (struct letter){.mail.kind = LETTER_ASK_HISTORY,
        .traits = (uint8_t)traits_of(channel),
        .channel = span_str(channel),
        .request = {request, 1, 0},
        .info_json = span_of((const char *)q, sizeof *q)};
}

/* Where the channel is. */
static struct position find(const char *channel)
{
    struct history_query q = {.is_poll = true};
    struct letter l = question(channel, &q, 999);
    ask(0, &l);
    return w.answer.position;
}

static enum hub_result wait_for(
    unsigned hub, const char *channel, const struct position *since, uint32_t request)
{
    struct history_query q = {
        .has_since = true, .since = *since, .limit = 10, .is_poll = true, .waits = true};
    struct letter l = question(channel, &q, request);
    w.posting = hub;
    enum hub_result result = hub_ask(w.hubs[hub], &l);
    if (result == HUB_DONE)
        frame_drop(l.cached);
    return result;
}

static void withdraw(unsigned hub, const char *channel, uint32_t request)
{
    struct letter l = {.channel = span_str(channel), .request = {request, 1, 0}};
    w.posting = hub;
    hub_withdraw(w.hubs[hub], &l);
}

TEST(a_question_waits_and_the_next_event_answers_it_once)
{
    for (unsigned seed = 1; seed < 30; seed++) {
        begin(seed);
        struct position at = find("kept-a");
        for (uint32_t i = 0; i < 9; i++)
            CHECK_EQ(wait_for(i % HUBS, "kept-a", &at, i), HUB_WAIT);
        settle();
        CHECK_EQ(sum_askers(), 9);
        w.n_answers = 0;
        publish(draw(HUBS), "kept-other", "1");
        settle();
        unsigned n = w.n_answers; // the publisher's own
        publish(draw(HUBS), "kept-a", "1");
        publish(draw(HUBS), "kept-a", "2");
        settle();
        CHECK(w.n_answers >= n + 9 && w.n_answers <= n + 11);
        CHECK_EQ(sum_askers(), 0);
        end();
    }
}

TEST(what_is_there_already_is_not_waited_for)
{
    begin(1);
    struct position at = find("kept-a");
    publish(0, "kept-a", "1");
    settle();
    struct history_query q = {.has_since = true, .since = at, .limit = 10, .waits = true};
    struct letter l = question("kept-a", &q, 1);
    ask(1, &l);
    CHECK_EQ(w.answer.position.offset, 1);
    CHECK(memmem(w.answer.cached->text, w.answer.cached->len, "\"offset\":1,", 11) != NULL);
    at.epoch[0] ^= 1;
    q.since = at;
    l = question("kept-a", &q, 1);
    ask(1, &l);
    CHECK_EQ(w.answer.result, LETTER_GONE);
    CHECK_EQ(sum_askers(), 0);
    end();
}

TEST(a_question_that_is_withdrawn_leaves_nothing_whatever_overtakes_it)
{
    for (unsigned seed = 1; seed < 100; seed++) {
        begin(seed);
        struct position at = find("kept-a");
        for (uint32_t i = 0; i < 6; i++)
            CHECK_EQ(wait_for(i % HUBS, "kept-a", &at, i), HUB_WAIT);
        if (seed % 2)
            settle();
        publish(draw(HUBS), seed % 3 ? "kept-a" : "kept-b", "1");
        for (uint32_t i = 0; i < 6; i++)
            withdraw(i % HUBS, "kept-a", i);
        settle();
        CHECK_EQ(sum_askers(), 0);
        end();
    }
}

TEST(only_the_one_that_is_withdrawn_goes)
{
    for (uint32_t which = 0; which < 3; which++) {
        begin(7);
        struct position at = find("kept-a");
        for (uint32_t i = 0; i < 3; i++)
            CHECK_EQ(wait_for(1, "kept-a", &at, i), HUB_WAIT);
        withdraw(1, "kept-a", which);
        withdraw(2, "kept-a", 0); // another worker's of the same number
        withdraw(1, "kept-a", 77);
        settle();
        CHECK_EQ(sum_askers(), 2);
        CHECK_EQ(wait_for(1, "kept-a", &at, 3), HUB_WAIT); // at the end of what is left
        settle();
        CHECK_EQ(sum_askers(), 3);
        publish(0, "kept-a", "1");
        settle();
        CHECK_EQ(sum_askers(), 0);
        end();
    }
}

TEST(another_epoch_answers_and_so_does_a_rule_that_goes)
{
    begin(3);
    struct position at = find("kept-a");
    CHECK_EQ(wait_for(1, "kept-a", &at, 1), HUB_WAIT);
    settle();
    struct letter purge = {.mail.kind = LETTER_PURGE,
        .traits = (uint8_t)traits_of("kept-a"),
        .channel = span_str("kept-a")};
    ask(2, &purge);
    settle();
    CHECK_EQ(sum_askers(), 0);
    at = find("kept-a");
    CHECK_EQ(wait_for(1, "kept-a", &at, 2), HUB_WAIT);
    settle();
    CHECK_EQ(sum_askers(), 1);
    app.n_history = 0;
    for (unsigned i = 0; i < HUBS; i++) {
        w.posting = i;
        hub_use_apps(w.hubs[i], &app, 1);
    }
    settle();
    CHECK_EQ(sum_askers(), 0);
    CHECK_EQ(w.answer.result, LETTER_DISABLED);
    end();
}

TEST(an_empty_stream_stays_while_somebody_waits_and_for_a_minute_after)
{
    begin(5);
    struct position at = find("kept-a");
    CHECK_EQ(wait_for(1, "kept-a", &at, 1), HUB_WAIT);
    settle();
    pass_s(3000);
    withdraw(1, "kept-a", 1);
    settle();
    CHECK_EQ(sum_channels(), 1);
    struct position now = find("kept-a");
    CHECK_STR(now.epoch, at.epoch);
    pass_s(59);
    CHECK_EQ(sum_channels(), 1);
    pass_s(2);
    CHECK_EQ(sum_channels(), 0);
    end();
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

static struct letter *next_note(enum letter_kind kind)
{
    ENSURE(w.n_notes > 0);
    struct letter *l = CONTAINER_OF(w.notes[0], struct letter, mail);
    w.n_notes--;
    memmove(w.notes, w.notes + 1, w.n_notes * sizeof w.notes[0]);
    CHECK_EQ(l->mail.kind, kind);
    return l;
}

static void reply(struct letter *l, enum letter_kind kind)
{
    l->mail.kind = kind;
    w.posting = l->from;
    hub_receive(w.hubs[l->from], l);
    settle();
}

/* The store has fifty events of it, and the ring none. */
static void open_cold(const char *channel)
{
    struct history_query q = {.is_poll = true};
    struct letter ask = question(channel, &q, 999);
    w.posting = 0;
    (void)hub_ask(w.hubs[0], &ask);
    settle();
    struct letter *l = next_note(LETTER_OPEN);
    l->found = calloc(1, sizeof *l->found);
    ENSURE(l->found);
    l->found->is_whole = true;
    l->found->top = (struct position){.epoch = "e1", .offset = 50};
    l->found->oldest = 1;
    reply(l, LETTER_OPENED);
    w.n_answers = 0;
}

static void ask_page(unsigned hub, const char *channel, uint32_t request)
{
    struct history_query q = {.limit = 10};
    struct letter l = question(channel, &q, request);
    w.posting = hub;
    CHECK_EQ(hub_ask(w.hubs[hub], &l), HUB_WAIT);
    settle();
}

static struct letter *with_page(struct letter *l)
{
    l->cached = frame_new(2);
    memcpy(l->cached->text, "{}", 2);
    return l;
}

TEST(what_the_store_reads_is_for_who_asked)
{
    begin(3);
    tell_store(true, 1);
    open_cold("ack-a");
    ask_page(1, "ack-a", 5);
    ask_page(2, "ack-a", 6);
    for (uint32_t request = 5; request <= 6; request++) {
        reply(with_page(next_note(LETTER_READ)), LETTER_PAGE);
        CHECK_EQ(w.answer.request[0], request);
        CHECK(w.answer.cached != NULL);
    }
    CHECK_EQ(w.n_answers, 2);
    end();
}

TEST(a_store_that_does_not_answer_any_more_leaves_nobody_waiting)
{
    begin(3);
    tell_store(true, 1);
    open_cold("ack-a");
    ask_page(1, "ack-a", 5);
    ask_page(2, "ack-a", 6);
    tell_store(false, 2);
    CHECK_EQ(w.n_answers, 2);
    CHECK_EQ(w.answer.result, LETTER_UNSTORED);
    struct history_query q = {.limit = 10};
    struct letter l = question("ack-a", &q, 7);
    ask(1, &l);
    CHECK_EQ(w.answer.result, LETTER_UNSTORED);
    w.n_answers = 0;
    tell_store(true, 2);
    /* What it says of before is for nobody. */
    reply(with_page(next_note(LETTER_READ)), LETTER_PAGE);
    reply(with_page(next_note(LETTER_READ)), LETTER_PAGE);
    CHECK_EQ(w.n_answers, 0);
    end();
}

TEST(a_read_that_a_purge_has_overtaken_is_asked_anew)
{
    begin(3);
    tell_store(true, 1);
    open_cold("ack-a");
    ask_page(1, "ack-a", 5);
    struct letter purge = {.mail.kind = LETTER_PURGE, .channel = span_str("ack-a")};
    w.posting = 0;
    (void)hub_ask(w.hubs[0], &purge);
    settle();
    struct letter *l = next_note(LETTER_READ);
    reply(next_note(LETTER_RESET), LETTER_STORED);
    w.n_answers = 0;
    l->result = LETTER_UNSTORED;
    reply(l, LETTER_PAGE);
    CHECK_EQ(w.n_answers, 1);
    CHECK_EQ(w.answer.result, LETTER_OK);
    CHECK_EQ(w.answer.position.offset, 0);
    end();
}

TEST(with_ack_the_event_answers_when_it_is_stored)
{
    begin(9);
    tell_store(true, 1);
    /* Asked while it is not known what the store has, and withdrawn before it is. */
    struct position nowhere = {.epoch = "x", .offset = 0};
    CHECK_EQ(wait_for(1, "ack-a", &nowhere, 1), HUB_WAIT);
    settle();
    withdraw(1, "ack-a", 1);
    settle();
    w.n_answers = 0;
    struct letter *l = CONTAINER_OF(w.notes[0], struct letter, mail);
    CHECK_EQ(l->mail.kind, LETTER_OPEN);
    l->found = calloc(1, sizeof *l->found);
    ENSURE(l->found);
    l->found->is_absent = true;
    l->mail.kind = LETTER_OPENED;
    w.n_notes = 0;
    w.posting = l->from;
    hub_receive(w.hubs[l->from], l);
    settle();
    CHECK_EQ(w.n_answers, 0);
    struct position at = find("ack-a");
    CHECK_EQ(wait_for(1, "ack-a", &at, 2), HUB_WAIT);
    publish(0, "ack-a", "1");
    settle();
    CHECK_EQ(sum_askers(), 1); // it is on its way to the store
    l = CONTAINER_OF(w.notes[w.n_notes - 1], struct letter, mail);
    CHECK_EQ(l->mail.kind, LETTER_STORE);
    w.n_notes--;
    l->mail.kind = LETTER_STORED;
    w.posting = l->from;
    hub_receive(w.hubs[l->from], l);
    settle();
    CHECK_EQ(sum_askers(), 0);
    end();
}

TEST(the_end_frees_those_who_wait)
{
    begin(2);
    struct position at = find("kept-a");
    CHECK_EQ(wait_for(1, "kept-a", &at, 1), HUB_WAIT);
    end();
}

int main(void)
{
    RUN(a_question_waits_and_the_next_event_answers_it_once);
    RUN(what_is_there_already_is_not_waited_for);
    RUN(a_question_that_is_withdrawn_leaves_nothing_whatever_overtakes_it);
    RUN(only_the_one_that_is_withdrawn_goes);
    RUN(another_epoch_answers_and_so_does_a_rule_that_goes);
    RUN(an_empty_stream_stays_while_somebody_waits_and_for_a_minute_after);
    RUN(with_ack_the_event_answers_when_it_is_stored);
    RUN(what_the_store_reads_is_for_who_asked);
    RUN(a_store_that_does_not_answer_any_more_leaves_nobody_waiting);
    RUN(a_read_that_a_purge_has_overtaken_is_asked_anew);
    RUN(the_end_frees_those_who_wait);
    return test_end();
}
