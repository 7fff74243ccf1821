/* Waiting for descriptors. */
#include "base/base.h"

#include "net/loop.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "pair.h"

static struct loop loop;
static int fd[2];

static void start(void)
{
    loop_init(&loop);
    open_pair(fd);
}

static void end(void)
{
    close(fd[0]);
    if (fd[1] >= 0)
        close(fd[1]);
    loop_fini(&loop);
}

/* The next event of a new wait; token 0 when nothing has happened. */
static struct loop_event next(int timeout_ms)
{
    struct loop_event e = {0};
    struct loop_event more;
    loop_wait(&loop, timeout_ms);
    (void)loop_next(&loop, &e);
    CHECK(!loop_next(&loop, &more)); // every test has one thing happen at a time
    return e;
}

static void say(int to, const char *text)
{
    CHECK_EQ(send(to, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

TEST(a_new_descriptor_is_told_to_be_writable_once)
{
    start();
    CHECK(loop_add(&loop, fd[0], 1234567890123456789U));
    struct loop_event e = next(PAIR_PATIENCE_MS);
    CHECK(e.token == 1234567890123456789U);
    CHECK(e.is_writable);
    CHECK(!e.is_readable);
    CHECK(!e.is_hangup);
    CHECK_EQ(next(0).token, 0);
    end();
}

TEST(input_is_told_once_though_nobody_reads_it)
{
    start();
    CHECK(loop_add(&loop, fd[0], 7));
    (void)next(0);
    say(fd[1], "a");
    struct loop_event e = next(PAIR_PATIENCE_MS);
    CHECK_EQ(e.token, 7);
    CHECK(e.is_readable);
    CHECK(!e.is_hangup);
    CHECK_EQ(next(0).token, 0);
    say(fd[1], "b"); // more input is another edge
    CHECK_EQ(next(PAIR_PATIENCE_MS).token, 7);
    end();
}

TEST(a_level_descriptor_is_told_for_as_long_as_there_is_something)
{
    start();
    uint64_t n = 1;
    int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(loop_add_level(&loop, bell, 9));
    CHECK_EQ(next(0).token, 0); // writable, which is not asked
    CHECK_EQ(write(bell, &n, sizeof n), sizeof n);
    for (int i = 0; i < 3; i++) {
        struct loop_event e = next(PAIR_PATIENCE_MS);
        CHECK_EQ(e.token, 9);
        CHECK(e.is_readable);
        CHECK(!e.is_writable);
    }
    CHECK_EQ(read(bell, &n, sizeof n), sizeof n);
    CHECK_EQ(next(0).token, 0);
    close(bell);
    end();
}

TEST(a_half_closed_peer_is_a_hangup_that_can_be_read)
{
    start();
    CHECK(loop_add(&loop, fd[0], 7));
    (void)next(0);
    ENSURE(shutdown(fd[1], SHUT_WR) == 0);
    struct loop_event e = next(PAIR_PATIENCE_MS);
    CHECK_EQ(e.token, 7);
    CHECK(e.is_hangup);
    CHECK(e.is_readable);
    CHECK(e.is_writable); // our half is still open
    end();
}

TEST(a_reset_is_a_hangup_too)
{
    start();
    struct linger linger = {.l_onoff = 1};
    CHECK(loop_add(&loop, fd[0], 7));
    (void)next(0);
    ENSURE(setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    close(fd[1]);
    fd[1] = -1;
    struct loop_event e = next(PAIR_PATIENCE_MS);
    CHECK_EQ(e.token, 7);
    CHECK(e.is_hangup);
    CHECK(e.is_readable);
    end();
}

TEST(what_was_removed_is_told_no_more_and_may_be_added_again)
{
    start();
    CHECK(loop_add(&loop, fd[0], 7));
    (void)next(0);
    loop_remove(&loop, fd[0]);
    say(fd[1], "a");
    CHECK(wait_for(fd[0], POLLIN));
    CHECK_EQ(next(0).token, 0);
    CHECK(loop_add(&loop, fd[0], 8));
    struct loop_event e = next(0); // what is there already is an edge of its own
    CHECK_EQ(e.token, 8);
    CHECK(e.is_readable);
    end();
}

TEST(what_cannot_be_watched_is_refused)
{
    start();
    CHECK(loop_add(&loop, fd[0], 7));
    CHECK(!loop_add(&loop, fd[0], 8)); // twice
    CHECK(!loop_add(&loop, -1, 8));
    CHECK(!loop_add_level(&loop, -1, 8));
    end();
}

TEST(a_wait_without_events_ends_with_its_timeout)
{
    start();
    uint64_t before_us = clock_us();
    CHECK_EQ(next(20).token, 0);
    CHECK(clock_us() - before_us >= 19000);
    end();
}

TEST(more_events_than_fit_are_told_by_the_next_wait)
{
    enum { BELLS = LOOP_EVENTS + 10 };
    static int bell[BELLS];
    static bool is_told[BELLS];
    struct loop_event e;
    struct rlimit files;
    unsigned n = 0;
    ENSURE(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    ENSURE(setrlimit(RLIMIT_NOFILE, &files) == 0);
    start();
    for (unsigned i = 0; i < BELLS; i++) {
        bell[i] = dup(fd[0]);
        if (bell[i] < 0)
            break;
        CHECK(loop_add(&loop, bell[i], i));
        n++;
    }
    for (int turn = 0; turn < 2; turn++) {
        loop_wait(&loop, PAIR_PATIENCE_MS);
        while (loop_next(&loop, &e)) {
            CHECK(!is_told[e.token]);
            is_told[e.token] = true;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        CHECK(is_told[i]);
        close(bell[i]);
    }
    CHECK_EQ(n, BELLS);
    end();
}

int main(void)
{
    RUN(a_new_descriptor_is_told_to_be_writable_once);
    RUN(input_is_told_once_though_nobody_reads_it);
    RUN(a_level_descriptor_is_told_for_as_long_as_there_is_something);
    RUN(a_half_closed_peer_is_a_hangup_that_can_be_read);
    RUN(a_reset_is_a_hangup_too);
    RUN(what_was_removed_is_told_no_more_and_may_be_added_again);
    RUN(what_cannot_be_watched_is_refused);
    RUN(a_wait_without_events_ends_with_its_timeout);
    RUN(more_events_than_fit_are_told_by_the_next_wait);
    return test_end();
}
