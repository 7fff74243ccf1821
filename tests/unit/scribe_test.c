/* The scribe between a home that is played here and a disk that does what it is told. */
#include "base/base.h"

#include "scribe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/map.h"
#include "config_given.h"
#include "hub/hub_priv.h" // for letter_copy
#include "net/mailbox.h"
#include "store/shop.h" // for a damaged file

/* --- the disk ------------------------------------------------------------------------------------- */

enum disk { DISK_WELL, DISK_REFUSING, DISK_STUCK };

static struct {
    pthread_mutex_t door;
    pthread_cond_t turn;
    enum disk state;
    unsigned n_flushes, n_stuck;
} disk = {.door = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER};

static int flush_file(int fd, long call)
{
    pthread_mutex_lock(&disk.door);
    disk.n_flushes++;
    disk.n_stuck++;
    pthread_cond_broadcast(&disk.turn);
    while (disk.state == DISK_STUCK)
        pthread_cond_wait(&disk.turn, &disk.door);
    disk.n_stuck--;
    bool is_refused = disk.state == DISK_REFUSING;
    pthread_mutex_unlock(&disk.door);
    if (!is_refused)
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

static void set_disk(enum disk state)
{
    pthread_mutex_lock(&disk.door);
    disk.state = state;
    pthread_cond_broadcast(&disk.turn);
    pthread_mutex_unlock(&disk.door);
}

static unsigned count_flushes(void)
{
    pthread_mutex_lock(&disk.door);
    unsigned n = disk.n_flushes;
    pthread_mutex_unlock(&disk.door);
    return n;
}

static void wait_until_stuck(void)
{
    pthread_mutex_lock(&disk.door);
    while (!disk.n_stuck)
        pthread_cond_wait(&disk.turn, &disk.door);
    pthread_mutex_unlock(&disk.door);
}

/* --- the home ------------------------------------------------------------------------------------- */

#define RULED                                                                                      \
    "store: {path: histories, stall_ms: 300}\n"                                                    \
    "apps:\n  - id: one\n    keys: [{key: k, secret: s}]\n"                                        \
    "    history: [{channel: \"a*\", durability: ack}]\n"
#define UNRULED                                                                                    \
    "store: {path: histories, stall_ms: 300}\n"                                                    \
    "apps:\n  - id: one\n    keys: [{key: k, secret: s}]\n"                                        \
    "    history: [{channel: \"b\"}]\n"

static struct serve worker;
static struct serve *workers[] = {&worker};
static struct house house = {.n_workers = 1, .workers = workers};
static struct config *config;
static struct scribe *scribe;
static struct mail *received; // in order
static uint32_t era;
static bool is_watched;

static void begin(void)
{
    set_disk(DISK_WELL);
    unlink("histories");
    unlink("histories-wal");
    mailbox_init(&worker.mailbox);
    era = 0;
    is_watched = false;
    config = LOAD(.file = RULED);
    ENSURE(config);
    scribe = scribe_open(config, &house, &err);
    ENSURE(scribe);
}

static struct letter *receive(void)
{
    struct pollfd fd = {.fd = worker.mailbox.fd, .events = POLLIN};
    while (!received) {
        if (is_watched)
            scribe_watch(scribe);
        (void)poll(&fd, 1, 20);
        received = mailbox_take(&worker.mailbox);
    }
    struct mail *first = received;
    received = first->next;
    return CONTAINER_OF(first, struct letter, mail);
}

static void end(void)
{
    struct mail *next;
    scribe_leave_workers(scribe);
    scribe_stop(scribe);
    for (int i = 0; i < 2; i++) {
        for (struct mail *mail = received; mail; mail = next) {
            next = mail->next;
            letter_free(CONTAINER_OF(mail, struct letter, mail));
        }
        received = mailbox_take(&worker.mailbox);
    }
    received = NULL;
    mailbox_fini(&worker.mailbox);
    config_drop(config);
}

static void expect(enum letter_kind kind, uint64_t offset)
{
    struct letter *l = receive();
    CHECK_EQ(l->mail.kind, kind);
    CHECK_EQ(l->position.offset, offset);
    letter_free(l);
}

static void expect_state(bool is_up)
{
    struct letter *l = receive();
    CHECK_EQ(l->mail.kind, LETTER_STORE_UP);
    CHECK_EQ(l->flag, is_up);
    era = l->era;
    letter_free(l);
}

static struct letter letter_about(enum letter_kind kind, const char *channel, uint64_t offset)
{
    return (struct letter){.mail.kind = kind,
        .era = era,
        .channel = span_str(channel),
        .user = span_str("one"),
        .position = {.epoch = "e1", .offset = offset},
        .time_ms = clock_wall_ms()}; // else retention takes it
}

static void post(const struct letter *l)
{
    bool ok = scribe_post(scribe, &letter_copy(l)->mail);
    ENSURE(ok);
}

static void post_rule(enum letter_kind kind, const char *channel)
{
    struct letter l = letter_about(kind, channel, 0);
    const struct history_rule *rule = &config->apps[0].history[0];
    l.info_json = span_of((const char *)rule, sizeof *rule);
    post(&l);
}

static void post_event(const char *channel, uint64_t offset)
{
    struct letter l = letter_about(LETTER_STORE, channel, offset);
    l.flag = true;
    l.frame = pusher_event(span_str("\"e\""), l.channel, span_str("\"1\""), span_of(NULL, 0));
    post(&l);
    frame_drop(l.frame);
}

static void post_read(const char *channel, uint64_t upto)
{
    struct history_query q = {.limit = 10};
    struct letter l = letter_about(LETTER_READ, channel, upto);
    l.info_json = span_of((const char *)&q, sizeof q);
    post(&l);
}

/* What is there of it, as a home is told. */
static bool is_absent(const char *channel)
{
    post_rule(LETTER_OPEN, channel);
    struct letter *l = receive();
    CHECK_EQ(l->mail.kind, LETTER_OPENED);
    bool is_absent = l->found && l->found->is_absent;
    letter_free(l);
    return is_absent;
}

/* --- groups --------------------------------------------------------------------------------------- */

TEST(what_is_written_shares_a_group_however_many_reads_are_between)
{
    begin();
    post_rule(LETTER_RESET, "a");
    for (uint64_t i = 1; i <= 20; i++) {
        post_event("a", i);
        post_read("a", i);
        if (i == 10)
            post_rule(LETTER_OPEN, "a2");
    }
    scribe_start(scribe); // so all of it is there
    for (uint64_t i = 1; i <= 20; i++)
        expect(LETTER_STORED, i);
    for (uint64_t i = 1; i <= 20; i++) {
        char newest[32];
        struct letter *l = receive();
        CHECK_EQ(l->mail.kind, LETTER_PAGE);
        CHECK_EQ(l->result, LETTER_OK);
        /* Who asked was told that the stream ends there. */
        snprintf(newest, sizeof newest, "\"newest\":%d,", (int)i);
        CHECK(l->cached && memmem(l->cached->text, l->cached->len, newest, strlen(newest)));
        letter_free(l);
        if (i == 10)
            expect(LETTER_OPENED, 0);
    }
    CHECK_EQ(counter_get(&scribe_counts(scribe)->commits), 1);
    end();
}

/* --- a disk that fails ---------------------------------------------------------------------------- */

TEST(a_rule_that_goes_and_comes_back_while_the_disk_fails_leaves_no_stream)
{
    begin();
    scribe_start(scribe);
    post_rule(LETTER_RESET, "a");
    post_event("a", 1);
    expect(LETTER_STORED, 1);
    set_disk(DISK_REFUSING);
    post_rule(LETTER_RESET, "a2");
    post_event("a2", 1);
    expect_state(false);
    struct config *without = LOAD(.file = UNRULED);
    struct config *again = LOAD(.file = RULED);
    ENSURE(without && again);
    scribe_use(scribe, without);
    scribe_use(scribe, again);
    config_drop(without);
    config_drop(again);
    set_disk(DISK_WELL);
    expect_state(true);
    CHECK(is_absent("a"));
    end();
}

TEST(a_disk_that_does_not_answer_has_failed_until_it_does)
{
    begin();
    is_watched = true;
    scribe_start(scribe);
    post_rule(LETTER_RESET, "a");
    post_event("a", 1);
    expect(LETTER_STORED, 1);
    set_disk(DISK_STUCK);
    post_event("a", 2);
    wait_until_stuck();
    post_rule(LETTER_OPEN, "a2");
    post_read("a", 1);
    expect_state(false);
    CHECK_EQ(era, 1);
    CHECK_EQ(counter_get(&scribe_counts(scribe)->is_up), 0);
    set_disk(DISK_WELL);
    expect_state(true); // and no answer before it: nobody waits for one
    CHECK_EQ(counter_get(&scribe_counts(scribe)->is_up), 1);
    CHECK(is_absent("a")); // the second event was refused
    end();
}

TEST(a_disk_that_is_only_slow_has_not_failed)
{
    begin();
    scribe_start(scribe);
    for (uint64_t i = 1; i <= 3; i++) {
        set_disk(DISK_STUCK);
        if (i == 1)
            post_rule(LETTER_RESET, "a");
        post_event("a", i);
        wait_until_stuck();
        scribe_watch(scribe);
        set_disk(DISK_WELL);
        expect(LETTER_STORED, i);
    }
    CHECK_EQ(counter_get(&scribe_counts(scribe)->failures), 0);
    end();
}

TEST(a_file_that_stays_damaged_is_put_aside)
{
    struct stat st;
    begin();
    scribe_start(scribe);
    post_rule(LETTER_RESET, "a");
    post_event("a", 1);
    expect(LETTER_STORED, 1);
    scribe_leave_workers(scribe);
    scribe_stop(scribe);
    shop_ruin("histories");
    scribe = scribe_open(config, &house, &err);
    ENSURE(scribe);
    scribe_start(scribe);
    for (int i = 0; i < 3; i++) { // opened anew it is the same
        CHECK(stat("histories.damaged", &st) != 0);
        post_rule(LETTER_RESET, "a");
        post_event("a", 1);
        expect_state(false);
        expect_state(true);
    }
    CHECK(stat("histories.damaged", &st) == 0);
    post_rule(LETTER_RESET, "a");
    post_event("a", 1);
    expect(LETTER_STORED, 1);
    unlink("histories.damaged");
    unlink("histories.damaged-wal");
    end();
}

/* --- reloads -------------------------------------------------------------------------------------- */

TEST(what_a_reload_leaves_without_a_rule_is_forgotten_in_groups)
{
    enum { STREAMS = 1000 };
    char name[16];
    begin();
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "a%u", i);
        post_rule(LETTER_RESET, name);
        post_event(name, 1);
    }
    scribe_start(scribe);
    for (unsigned i = 0; i < STREAMS; i++)
        expect(LETTER_STORED, 1);
    struct config *without = LOAD(.file = UNRULED);
    ENSURE(without);
    unsigned before = count_flushes();
    scribe_use(scribe, without);
    config_drop(without);
    while (counter_get(&scribe_counts(scribe)->streams))
        (void)poll(NULL, 0, 10);
    CHECK(count_flushes() - before < 50);
    end();
}

int main(void)
{
    hash_init();
    enter_folder();
    RUN_CLEAN(what_is_written_shares_a_group_however_many_reads_are_between);
    RUN_CLEAN(a_rule_that_goes_and_comes_back_while_the_disk_fails_leaves_no_stream);
    RUN_CLEAN(a_disk_that_does_not_answer_has_failed_until_it_does);
    RUN_CLEAN(a_disk_that_is_only_slow_has_not_failed);
    RUN_CLEAN(a_file_that_stays_damaged_is_put_aside);
    RUN_CLEAN(what_a_reload_leaves_without_a_rule_is_forgotten_in_groups);
    unlink("histories");
    unlink("histories-wal");
    leave_folder();
    return test_end();
}
