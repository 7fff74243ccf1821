/* The life of a store: crashes, a full disk, what it says about itself. */
#include "base/base.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "shop.h"
#include "store/store_priv.h" // for SQLite's own limit of pages

static struct shop h;

/* SQLite flushes through these two: a disk that refuses to. */
static bool is_refusing;
static unsigned n_flushes;

static int flush_file(int fd, long call)
{
    n_flushes++;
    if (!is_refusing)
        return (int)syscall(call, fd);
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    return flush_file(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return flush_file(fd, SYS_fdatasync);
}

/* Runs a part of a test in a process of its own, which leaves without closing anything. */
static bool in_child(void (*run)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    ENSURE(child >= 0);
    if (child == 0) {
        run();
        fflush(stdout);
        _exit(test_is_good ? 0 : 1);
    }
    ENSURE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void commit_some_and_crash(void)
{
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "ack", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_reset(&h, "async", "e2", shop_rule(STORE_ASYNC)));
    CHECK(shop_fill(&h, "ack", 1, 10));
    CHECK(store_begin(h.s, STORE_ASYNC, &h.err));
    CHECK(shop_append(&h, "async", 1));
    CHECK(store_commit(h.s, &h.err));
    CHECK(shop_fill(&h, "ack", 11, 15));
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    for (uint64_t i = 16; i < 4000; i++) // more than fits into SQLite's memory of a group
        CHECK(shop_append(&h, "ack", i));
    CHECK(shop_append(&h, "async", 2));
}

TEST(after_a_crash_the_committed_groups_are_there_and_no_other)
{
    shop_init(&h);
    CHECK(in_child(commit_some_and_crash));
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "ack", 1, 15));
    struct store_stream async = shop_find(&h, "async");
    CHECK_EQ(async.state, STORE_CUT);
    CHECK_EQ(async.top, 1);
    CHECK_STR(async.epoch, "e2");
    CHECK(shop_fill(&h, "ack", 16, 20));
    CHECK(!shop_fill(&h, "async", 2, 2));
    CHECK(strstr(h.err.text, "needs a new epoch") != NULL);
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "ack", 1, 20));
    CHECK_EQ(shop_find(&h, "async").state, STORE_CUT); // still: nobody has reset it
    CHECK(shop_reset(&h, "async", "e3", shop_rule(STORE_ASYNC)));
    CHECK(shop_fill(&h, "async", 1, 3));
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "async", 1, 3));
    shop_reopen(&h, false);
    CHECK_EQ(shop_find(&h, "async").state, STORE_CUT);
    CHECK(shop_holds(&h, "ack", 1, 20));
    shop_fini(&h);
}

static unsigned n_killed; // how far the next child gets

static void append_until_killed(void)
{
    CHECK(shop_open(&h));
    uint64_t top = shop_find(&h, "ack").top;
    int progress = open("progress", O_WRONLY | O_APPEND);
    for (unsigned group = 0;; group++) {
        CHECK(shop_fill(&h, "ack", top + 1, top + 1 + group % 7));
        top += 1 + group % 7;
        ENSURE(write(progress, &top, sizeof top) == sizeof top);
        if (group == n_killed) {
            CHECK(store_begin(h.s, STORE_ACK, &h.err));
            for (uint64_t i = 1; i <= 500; i++)
                CHECK(shop_append(&h, "ack", top + i));
            raise(SIGKILL);
        }
    }
}

/* Whatever was said to be committed is there; what came after it may be, but in order. */
TEST(killing_it_again_and_again_loses_nothing_that_was_committed)
{
    char back[4096];
    uint64_t said = 0;
    shop_init(&h);
    ENSURE(getcwd(back, sizeof back) && chdir(h.folder) == 0);
    int progress = open("progress", O_RDONLY | O_CREAT, 0600);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "ack", "e1", shop_rule(STORE_ACK)));
    store_close(h.s, true);
    for (n_killed = 0; n_killed < 60; n_killed += 5) {
        CHECK(!in_child(append_until_killed));
        for (uint64_t top; read(progress, &top, sizeof top) == sizeof top;)
            said = top;
        CHECK(shop_open(&h));
        CHECK_EQ(shop_find(&h, "ack").top, said);
        CHECK(shop_holds(&h, "ack", 1, said));
        store_close(h.s, false);
    }
    h.s = NULL;
    CHECK(said > 100);
    close(progress);
    ENSURE(chdir(back) == 0);
    shop_fini(&h);
}

static void limit_file(rlim_t bytes)
{
    struct rlimit limit;
    ENSURE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    ENSURE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void fill_the_disk(void)
{
    uint64_t top = 0;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    limit_file(600 * 1024);
    while (top < 100000 && shop_fill(&h, "a", top + 1, top + 50))
        top += 50;
    CHECK(top > 0 && top < 100000);
    CHECK(strstr(h.err.text, h.path) && strstr(h.err.text, "committing: disk I/O error (code 778"));
    CHECK_EQ(h.err.status, 503);
    CHECK(store_is_spent(h.s));
    CHECK(shop_holds(&h, "a", 1, top)); // reading goes on
    CHECK(!shop_fill(&h, "a", top + 1, top + 50));
    struct store_figures f;
    store_read_figures(h.s, &f);
    CHECK(f.n_failures >= 1);
    CHECK_EQ(f.n_events, top);
    limit_file(RLIM_INFINITY);
    shop_reopen(&h, false);
    CHECK(shop_fill(&h, "a", top + 1, top + 50)); // and so does writing
    CHECK(shop_holds(&h, "a", 1, top + 50));
    store_close(h.s, true);
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "a", 1, top + 50));
    store_close(h.s, true);
    h.s = NULL;
}

TEST(a_full_disk_fails_the_group_and_passes)
{
    shop_init(&h);
    CHECK(in_child(fill_the_disk));
    shop_fini(&h);
}

TEST(a_file_that_may_not_grow_fails_the_group_and_passes)
{
    uint64_t top = 0;
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    ENSURE(sqlite3_exec(h.s->db, "PRAGMA max_page_count = 60", NULL, NULL, NULL) == SQLITE_OK);
    while (top < 100000 && shop_fill(&h, "a", top + 1, top + 50))
        top += 50;
    CHECK(top > 0 && top < 100000);
    CHECK(strstr(h.err.text, "writing an event: database or disk is full") != NULL);
    CHECK(!store_is_spent(h.s));
    CHECK(!shop_fill(&h, "a", top + 1, top + 50));
    CHECK(shop_holds(&h, "a", 1, top));
    struct store_figures f;
    store_read_figures(h.s, &f);
    CHECK_EQ(f.n_failures, 2);
    CHECK_EQ(f.n_events, top);
    ENSURE(sqlite3_exec(h.s->db, "PRAGMA max_page_count = 1000", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(shop_fill(&h, "a", top + 1, top + 50));
    CHECK(shop_holds(&h, "a", 1, top + 50));
    shop_fini(&h);
}

/* The failure of one event is that of its group, whatever the caller makes of it. */
TEST(after_a_failed_append_the_commit_fails_and_nothing_is_stored)
{
    bool has_failed = false;
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_reset(&h, "b", "e1", shop_rule(STORE_ACK)));
    ENSURE(sqlite3_exec(h.s->db, "PRAGMA max_page_count = 40", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    CHECK(shop_append(&h, "b", 1));
    for (uint64_t i = 1; i < 100000 && !has_failed; i++)
        has_failed = !shop_append(&h, "a", i);
    CHECK(has_failed);
    CHECK(!shop_append(&h, "b", 2));
    CHECK(strstr(h.err.text, "full") != NULL);
    CHECK(!store_commit(h.s, &h.err));
    CHECK(strstr(h.err.text, "full") != NULL);
    CHECK_EQ(shop_find(&h, "a").top, 0);
    CHECK_EQ(shop_find(&h, "b").top, 0);
    shop_fini(&h);
}

static void be_refused_and_crash(void)
{
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 3));
    is_refusing = true;
    CHECK(!shop_fill(&h, "a", 4, 200));
    CHECK(strstr(h.err.text, "committing: disk I/O error (code 1034") != NULL);
}

/* The group was written and could not be flushed: it was refused, so nobody may find it. */
TEST(a_group_that_could_not_be_flushed_does_not_come_back_after_a_crash)
{
    shop_init(&h);
    CHECK(in_child(be_refused_and_crash));
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "a", 1, 3));
    CHECK(shop_fill(&h, "a", 4, 5));
    shop_fini(&h);
}

static void be_refused_behind_a_checkpoint(void)
{
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 300));
    store_checkpoint(h.s, 1); // from here on the log is written anew
    is_refusing = true;
    CHECK(!shop_fill(&h, "a", 301, 301));
}

TEST(nor_does_one_that_begins_the_log_anew)
{
    shop_init(&h);
    CHECK(in_child(be_refused_behind_a_checkpoint));
    CHECK(shop_open(&h));
    CHECK(shop_holds(&h, "a", 1, 300));
    shop_fini(&h);
}

/* The kernel says once that it could not write: a second flush would succeed without. */
TEST(after_a_failed_flush_the_log_is_not_trusted_before_it_is_read_anew)
{
    struct stat log;
    char path[128];
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 200));
    is_refusing = true;
    CHECK(!shop_fill(&h, "a", 201, 202));
    is_refusing = false;
    CHECK(store_is_spent(h.s));
    CHECK(!store_probe(h.s, &h.err));
    CHECK(strstr(h.err.text, "must be opened anew") != NULL);
    n_flushes = 0;
    store_close(h.s, true);
    CHECK_EQ(n_flushes, 0); // the log stays as it is
    CHECK(shop_open(&h));
    snprintf(path, sizeof path, "%s-wal", h.path);
    CHECK(stat(path, &log) == 0 && log.st_size < 8 * 4096); // a log of this run alone
    CHECK(shop_holds(&h, "a", 1, 200));
    CHECK(shop_fill(&h, "a", 201, 300));
    is_refusing = true;
    store_checkpoint(h.s, 1);
    is_refusing = false;
    CHECK(!shop_fill(&h, "a", 301, 301)); // a checkpoint flushes the log, too
    shop_reopen(&h, false);
    CHECK(shop_holds(&h, "a", 1, 300));
    CHECK(shop_fill(&h, "a", 301, 301));
    shop_fini(&h);
}

static void drop_root(void)
{
    if (getuid() == 0)
        ENSURE(setgid(65534) == 0 && setuid(65534) == 0);
}

static void open_read_only(void)
{
    drop_root();
    CHECK(store_open(h.path, &h.err) == NULL);
    CHECK(strstr(h.err.text, h.path) != NULL);
    CHECK(strstr(h.err.text, "Permission denied") || strstr(h.err.text, "readonly"));
}

TEST(a_folder_or_file_that_may_not_be_written_is_named)
{
    shop_init(&h);
    ENSURE(chmod(h.folder, 0555) == 0);
    CHECK(in_child(open_read_only)); // no file can be made
    ENSURE(chmod(h.folder, 0755) == 0);
    CHECK(shop_open(&h));
    store_close(h.s, true);
    h.s = NULL;
    ENSURE(chmod(h.path, 0444) == 0);
    CHECK(in_child(open_read_only));
    ENSURE(chmod(h.path, 0666) == 0 && chmod(h.folder, 0555) == 0);
    CHECK(in_child(open_read_only)); // no log can be made beside it
    ENSURE(chmod(h.folder, 0755) == 0);
    shop_fini(&h);
}

TEST(a_folder_that_is_not_there_is_named)
{
    struct err err;
    CHECK(store_open("/nowhere/at/all.db", &err) == NULL);
    CHECK_STR(err.text, "store /nowhere/at/all.db: No such file or directory");
}

TEST(a_store_put_aside_makes_room_for_a_new_one)
{
    char other[128];
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    store_close(h.s, true);
    CHECK(store_put_aside(h.path, &h.err));
    CHECK(shop_open(&h));
    CHECK_EQ(shop_find(&h, "a").state, STORE_ABSENT);
    store_close(h.s, true);
    snprintf(other, sizeof other, "%s.damaged", h.path);
    h.s = store_open(other, &h.err);
    CHECK(h.s != NULL);
    CHECK_EQ(shop_find(&h, "a").state, STORE_WHOLE);
    shop_reopen(&h, true); // of the new one
    store_close(h.s, true);
    h.s = NULL;
    CHECK(!store_put_aside(h.path, &h.err));
    CHECK(strstr(h.err.text, "is there already") != NULL);
    ENSURE(unlink(other) == 0 && unlink(h.path) == 0);
    CHECK(!store_put_aside(h.path, &h.err));
    CHECK(strstr(h.err.text, "No such file") != NULL);
    shop_fini(&h);
}

TEST(a_file_that_cannot_be_written_any_more_is_spent_and_can_be_replaced)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 500));
    store_close(h.s, true);
    shop_ruin(h.path);
    CHECK(shop_open(&h));
    CHECK_EQ(shop_find(&h, "a").state, STORE_DAMAGED);
    CHECK(!store_is_spent(h.s));
    CHECK(!shop_reset(&h, "a", "e2", shop_rule(STORE_ACK)));
    CHECK(strstr(h.err.text, "malformed") != NULL);
    CHECK_EQ(h.err.status, STORE_DAMAGE);
    CHECK(store_is_spent(h.s));
    CHECK(!store_begin(h.s, STORE_ACK, &h.err));
    CHECK(strstr(h.err.text, "must be opened anew") != NULL);
    store_close(h.s, true);
    h.s = NULL;
    CHECK(store_put_aside(h.path, &h.err));
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e2", shop_rule(STORE_ACK)));
    CHECK(shop_fill(&h, "a", 1, 5));
    CHECK(shop_holds(&h, "a", 1, 5));
    shop_fini(&h);
}

TEST(closing_in_a_group_rolls_it_back)
{
    shop_init(&h);
    CHECK(shop_open(&h));
    CHECK(shop_reset(&h, "a", "e1", shop_rule(STORE_ASYNC)));
    CHECK(shop_fill(&h, "a", 1, 2));
    CHECK(store_begin(h.s, STORE_ACK, &h.err));
    CHECK(shop_append(&h, "a", 3));
    shop_reopen(&h, true);
    CHECK(shop_holds(&h, "a", 1, 2));
    store_close(NULL, true);
    shop_fini(&h);
}

int main(void)
{
    hash_init();
    RUN(after_a_crash_the_committed_groups_are_there_and_no_other);
    RUN(killing_it_again_and_again_loses_nothing_that_was_committed);
    RUN(a_full_disk_fails_the_group_and_passes);
    RUN(a_file_that_may_not_grow_fails_the_group_and_passes);
    RUN(after_a_failed_append_the_commit_fails_and_nothing_is_stored);
    RUN(a_group_that_could_not_be_flushed_does_not_come_back_after_a_crash);
    RUN(nor_does_one_that_begins_the_log_anew);
    RUN(after_a_failed_flush_the_log_is_not_trusted_before_it_is_read_anew);
    RUN(a_folder_or_file_that_may_not_be_written_is_named);
    RUN(a_folder_that_is_not_there_is_named);
    RUN(a_store_put_aside_makes_room_for_a_new_one);
    RUN(a_file_that_cannot_be_written_any_more_is_spent_and_can_be_replaced);
    RUN(closing_in_a_group_rolls_it_back);
    return test_end();
}
