/* What an application's settings answer, and its quota. */
#include "base/base.h"

#include "hub/app.h"

#include <pthread.h>

#include "test.h"

TEST(a_key_is_found_by_its_whole_name)
{
    char names[][8] = {"old", "older", "new"};
    struct app_key keys[] = {{.key = names[0]}, {.key = names[1]}, {.key = names[2]}};
    struct app app = {.keys = keys, .n_keys = COUNT_OF(keys)};
    CHECK(app_key_find(&app, span_str("old")) == &keys[0]);
    CHECK(app_key_find(&app, span_str("older")) == &keys[1]);
    CHECK(app_key_find(&app, span_str("new")) == &keys[2]);
    CHECK(app_key_find(&app, span_str("ol")) == NULL);
    CHECK(app_key_find(&app, span_str("OLD")) == NULL);
    CHECK(app_key_find(&app, span_str("")) == NULL);
    CHECK(app_key_find(&app, span_of("old\0", 4)) == NULL);
}

TEST(without_a_list_every_origin_is_allowed)
{
    struct app app = {0};
    CHECK(app_allows_origin(&app, span_str("https://anywhere.example")));
    CHECK(app_allows_origin(&app, span_of(NULL, 0)));
}

TEST(with_a_list_only_what_is_on_it_is_allowed)
{
    char texts[][32] = {"https://a.example", "http://b.example:8080", "*"};
    char *origins[] = {texts[0], texts[1]};
    struct app app = {.allowed_origins = origins, .n_allowed_origins = COUNT_OF(origins)};
    CHECK(app_allows_origin(&app, span_str("https://a.example")));
    CHECK(app_allows_origin(&app, span_str("http://b.example:8080")));
    CHECK(!app_allows_origin(&app, span_str("http://a.example")));
    CHECK(!app_allows_origin(&app, span_str("https://a.example.evil.example")));
    CHECK(!app_allows_origin(&app, span_str("http://b.example")));
    CHECK(!app_allows_origin(&app, span_of(NULL, 0)));
    char *all[] = {texts[0], texts[2]};
    struct app open = {.allowed_origins = all, .n_allowed_origins = COUNT_OF(all)};
    CHECK(app_allows_origin(&open, span_str("https://anywhere.example")));
}

TEST(a_quota_is_taken_given_back_and_refused_when_spent)
{
    struct app app = {.slot = 1, .max_connections = 2};
    CHECK(app_connect(&app));
    CHECK(app_connect(&app));
    CHECK(!app_connect(&app));
    CHECK(!app_connect(&app)); // a refusal takes nothing
    CHECK_EQ(app_usage(1)->connections, 2);
    app_disconnect(1);
    CHECK(app_connect(&app));
    CHECK(!app_connect(&app));
    app_disconnect(1);
    app_disconnect(1);
    CHECK_EQ(app_usage(1)->connections, 0);
}

TEST(a_quota_of_0_is_no_limit)
{
    struct app app = {.slot = 2};
    for (int i = 0; i < 1000; i++)
        CHECK(app_connect(&app));
    CHECK_EQ(app_usage(2)->connections, 1000);
    for (int i = 0; i < 1000; i++)
        app_disconnect(2);
}

TEST(a_reload_changes_the_quota_and_keeps_the_count)
{
    struct app before = {.slot = 3, .max_connections = 3};
    struct app after = {.slot = 3, .max_connections = 2};
    for (int i = 0; i < 3; i++)
        CHECK(app_connect(&before));
    CHECK(!app_connect(&after));
    app_disconnect(3);
    CHECK(!app_connect(&after));
    app_disconnect(3);
    CHECK(app_connect(&after));
}

TEST(each_slot_counts_for_itself)
{
    app_count(&app_usage(4)->events_in, 5);
    app_count(&app_usage(4)->events_in, 2);
    app_count(&app_usage(APP_SLOTS - 1)->events_in, 1);
    CHECK_EQ(app_usage(4)->events_in, 7);
    CHECK_EQ(app_usage(4)->client_events, 0);
    CHECK_EQ(app_usage(APP_SLOTS - 1)->events_in, 1);
}

/* --- two threads ------------------------------------------------------------------------------- */

enum { ROUNDS = 20000, QUOTA = 3, FRESH = 100, FRESH_SLOTS = 1000 };

static pthread_barrier_t both_there;
static struct app shared = {.slot = 5, .max_connections = QUOTA};

struct result {
    unsigned n_taken, n_refused, n_over;
    struct app_usage *usages[FRESH_SLOTS];
};

/* Each thread wants two of three at a time, so that now and then both are refused. */
static void *take_and_give(void *arg)
{
    struct result *r = arg;
    pthread_barrier_wait(&both_there);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned n = 0;
        for (int k = 0; k < 2; k++)
            n += app_connect(&shared);
        r->n_taken += n;
        r->n_refused += 2 - n;
        /* A refused attempt may be in the count for a moment, never more than one a thread. */
        r->n_over += app_usage(shared.slot)->connections > QUOTA + 1;
        while (n--)
            app_disconnect(shared.slot);
    }
    return NULL;
}

static void *touch_fresh_slots(void *arg)
{
    struct result *r = arg;
    pthread_barrier_wait(&both_there);
    for (uint32_t i = 0; i < FRESH_SLOTS; i++) {
        r->usages[i] = app_usage(FRESH + i);
        app_count(&r->usages[i]->events_in, 1);
    }
    return NULL;
}

static void run_two(void *(*run)(void *), struct result results[2])
{
    pthread_t threads[2];
    memset(results, 0, 2 * sizeof *results);
    for (int i = 0; i < 2; i++)
        ENSURE(pthread_create(&threads[i], NULL, run, &results[i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

TEST(two_threads_never_have_more_than_the_quota_and_give_all_back)
{
    static struct result results[2];
    CHECK(app_connect(&shared)); // one is taken all the time: two are left
    run_two(take_and_give, results);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(results[i].n_over, 0);
        CHECK_EQ(results[i].n_taken + results[i].n_refused, 2 * ROUNDS);
    }
    CHECK(results[0].n_taken + results[1].n_taken > 0);
    CHECK_EQ(app_usage(shared.slot)->connections, 1);
    CHECK(app_connect(&shared));
    CHECK(app_connect(&shared));
    CHECK(!app_connect(&shared));
}

TEST(two_threads_that_are_first_in_a_slot_share_one_count)
{
    static struct result results[2];
    run_two(touch_fresh_slots, results);
    for (uint32_t i = 0; i < FRESH_SLOTS; i++) {
        CHECK(results[0].usages[i] == results[1].usages[i]);
        CHECK_EQ(app_usage(FRESH + i)->events_in, 2);
    }
}

int main(void)
{
    pthread_barrier_init(&both_there, NULL, 2);
    RUN(a_key_is_found_by_its_whole_name);
    RUN(without_a_list_every_origin_is_allowed);
    RUN(with_a_list_only_what_is_on_it_is_allowed);
    RUN(a_quota_is_taken_given_back_and_refused_when_spent);
    RUN(a_quota_of_0_is_no_limit);
    RUN(a_reload_changes_the_quota_and_keeps_the_count);
    RUN(each_slot_counts_for_itself);
    RUN(two_threads_never_have_more_than_the_quota_and_give_all_back);
    RUN(two_threads_that_are_first_in_a_slot_share_one_count);
    pthread_barrier_destroy(&both_there);
    return test_end();
}
