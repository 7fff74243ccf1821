/* Frames: shared text that the last holder frees, on whichever thread it is. */
#include "base/base.h"

#include "base/frame.h"

#include <pthread.h>

#include "check_span.h"
#include "test.h"

TEST(a_new_frame_has_one_reference_and_its_length)
{
    struct frame *f = frame_new(5);
    CHECK_EQ(f->len, 5);
    CHECK_EQ(atomic_load(&f->refs), 1);
    CHECK_EQ(f->name_len, 0);
    CHECK_EQ(f->data_len, 0);
    CHECK_EQ(f->accepted_us, 0);
    memcpy(f->text, "hello", 5);
    CHECK_SPAN(frame_text(f), "hello");
    f->data_at = 1;
    f->data_len = 3;
    CHECK_SPAN(frame_data(f), "ell");
    frame_drop(f);
    frame_drop(NULL);
}

TEST(an_empty_frame_is_a_frame)
{
    struct frame *f = frame_new(0);
    CHECK_EQ(frame_text(f).len, 0);
    frame_drop(f);
}

enum { THREADS = 4, ROUNDS = 20000 };

/* Each thread owns one reference at its start. */
static void *hold_and_drop(void *arg)
{
    struct frame *f = arg;
    size_t n_wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        frame_hold(f);
        n_wrong += !span_is(frame_text(f), "shared");
        frame_drop(f);
    }
    frame_drop(f);
    return (void *)(uintptr_t)n_wrong;
}

/* A reference too many would be a leak, one too few a use after free: both are seen by the
 * address sanitizer; a missing order of the accesses by the thread sanitizer. */
TEST(the_last_of_several_threads_frees_it)
{
    pthread_t threads[THREADS];
    struct frame *f = frame_new(6);
    memcpy(f->text, "shared", 6);
    for (int i = 0; i < THREADS; i++) {
        frame_hold(f);
        ENSURE(pthread_create(&threads[i], NULL, hold_and_drop, f) == 0);
    }
    frame_hold(f);
    frame_drop(f); // the maker's
    for (int i = 0; i < THREADS; i++) {
        void *n_wrong = NULL;
        ENSURE(pthread_join(threads[i], &n_wrong) == 0);
        CHECK(n_wrong == NULL);
    }
    CHECK_EQ(atomic_load(&f->refs), 1);
    frame_drop(f);
}

int main(void)
{
    RUN(a_new_frame_has_one_reference_and_its_length);
    RUN(an_empty_frame_is_a_frame);
    RUN(the_last_of_several_threads_frees_it);
    return test_end();
}
