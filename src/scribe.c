/* Groups, answers, and what happens when the disk fails. */
#include "base/base.h"

#include "scribe.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "hub/page.h"
#include "net/mailbox.h"
#include "scribe_read.h"
#include "scribe_rules.h"
#include "store/store.h"
#include "wire/pusher.h"

enum scribe_letter { SCRIBE_CONFIG = MAIL_OTHER, SCRIBE_STOP };

enum {
    GROUP_EVENTS = 4096,
    TRIM_ROWS = 100, // a step between two groups: a few tenths of a millisecond
    TRIM_ROWS_MAX = 2 * GROUP_EVENTS,
    TRIM_PAUSE_MS = 2,   // between two steps of any kind, for who comes meanwhile
    TRIM_MS = 1000,      // between two looks when there was nothing to do
    TRIM_LOG_PAGES = 64, // a checkpoint between two steps: about a millisecond
    LOG_PAGES = 1000,    // and otherwise
    RELOAD_MS = 5,       // between two looks whether every worker has it
    BLIND_MS = 1000,     // between two looks of the watch: it has been held up itself
    RETRY_MS = 250,      // doubled with each failure, up to
    RETRY_MAX_MS = 15000,
    DAMAGES = 3,        // with as many the file is put aside,
    DAMAGE_MS = 3600000 // if none comes later than that behind another
};

struct scribe {
    struct mailbox mailbox;
    struct rules rules;
    struct house *house;
    struct store *store; // NULL = it could not be opened again
    char *path;
    uint64_t queue_bytes;     // that may wait
    _Atomic uint64_t waiting; // bytes
    struct store_counts counts;
    pthread_t thread;
    pthread_mutex_t door; // of the next three, held while a worker is posted to
    bool is_deaf;         // the workers have gone
    atomic_bool is_up;    // as the workers have been told
    atomic_uint era;      // failures so far
    uint32_t stall_ms;    // that a letter may wait
    _Atomic uint64_t
        oldest_ms; // when the first of the mailbox's letters was posted; 0 = it is empty
    _Atomic uint64_t working_ms;   // the same of those that are being handled
    uint64_t watched_ms, blind_ms; // the watch's last look, and the last that came too late
    bool is_over;
    bool is_in_doubt;  // a stream was lost whose home could no longer be told
    uint32_t retry_ms; // until the next attempt
    uint64_t retry_at_ms, trim_at_ms;
    uint32_t n_damages;  // of the file, lately
    uint64_t damaged_ms; // the last of these
    bool has_to_trim;
    uint64_t n_untrimmed; // events stored since the last step
    bool in_group;
    uint32_t n_group;
    struct mail *owed, **last_owed; // of the group: who gets an answer when it is committed
};

struct config_letter {
    struct mail mail;
    struct config *config; // held for the receiver
};

static uint64_t now_ms(void)
{
    return clock_us() / 1000;
}

/* What a letter weighs while it waits. */
static uint64_t weight(const struct letter *l)
{
    return sizeof *l + l->channel.len + (l->frame ? l->frame->len : 0);
}

/* --- to the workers ---------------------------------------------------------------------------------- */

/* Behind the door.  Takes the letter.  False: they have gone. */
static bool tell(struct scribe *s, unsigned worker, struct letter *l)
{
    if (s->is_deaf)
        letter_free(l);
    else
        serve_post(s->house->workers[worker], &l->mail);
    return !s->is_deaf;
}

/* Behind the door. */
static void tell_all(struct scribe *s, bool is_up)
{
    counter_sub(&s->counts.is_up, counter_get(&s->counts.is_up));
    counter_add(&s->counts.is_up, is_up);
    for (unsigned w = 0; w < s->house->n_workers; w++) {
        struct letter *l = mem_zero(sizeof *l);
        l->mail.kind = LETTER_STORE_UP;
        l->flag = is_up;
        l->era = s->era;
        (void)tell(s, w, l);
    }
}

/* Behind the door.  The letter goes back as its answer. */
static bool answer(struct scribe *s, struct letter *l, enum letter_kind kind)
{
    l->mail.kind = kind;
    frame_drop(l->frame);
    l->frame = NULL;
    return tell(s, l->from, l);
}

static void answer_alone(struct scribe *s, struct letter *l, enum letter_kind kind)
{
    pthread_mutex_lock(&s->door);
    (void)answer(s, l, kind);
    pthread_mutex_unlock(&s->door);
}

/* --- failing ----------------------------------------------------------------------------------------- */

static struct letter *pop_owed(struct scribe *s)
{
    struct letter *l = CONTAINER_OF(s->owed, struct letter, mail);
    s->owed = s->owed->next;
    if (!s->owed)
        s->last_owed = &s->owed;
    return l;
}

/* Every home begins new epochs, in memory, and answers what waits.  False: they know already. */
static bool go_down(struct scribe *s)
{
    pthread_mutex_lock(&s->door);
    bool was_up = s->is_up;
    counter_add(&s->counts.failures, 1);
    if (was_up) {
        s->is_up = false;
        s->era++;
        tell_all(s, false);
    }
    pthread_mutex_unlock(&s->door);
    return was_up;
}

static void count_damage(struct scribe *s)
{
    uint64_t ms = now_ms();
    s->n_damages = ms - s->damaged_ms < DAMAGE_MS ? s->n_damages + 1 : 1;
    s->damaged_ms = ms;
}

/* A file that stays damaged when it is opened anew would fail for ever: another one takes its place,
 * and it is left for whoever can mend it. */
static bool put_aside(struct scribe *s, struct err *err)
{
    if (s->n_damages < DAMAGES)
        return true;
    if (!store_put_aside(s->path, err))
        return false;
    s->n_damages = 0;
    log_event(
        LOG_ERROR, "store_put_aside", "to=\"%s.damaged\" then=\"histories begin anew\"", s->path);
    return true;
}

/* It is tried again later. */
static void fail(struct scribe *s, const struct err *why)
{
    if (s->in_group)
        store_rollback(s->store);
    s->in_group = false;
    while (s->owed)
        letter_free(pop_owed(s)); // its home refuses what it waits for when it hears of the failure
    s->retry_at_ms = now_ms() + s->retry_ms;
    if (why->status == STORE_DAMAGE)
        count_damage(s);
    if (!go_down(s)) {
        s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
        return;
    }
    log_event(LOG_ERROR, "store_failed",
        "error=\"%s\" then=\"histories go on in memory, events with ack are refused\"", why->text);
}

/* False: it must be left alone for a while. */
static bool revive(struct scribe *s, struct err *err)
{
    uint64_t from_ms = now_ms();
    if (s->store && store_is_spent(s->store)) {
        store_close(s->store, false);
        s->store = NULL;
    }
    if (!s->store && put_aside(s, err))
        s->store = store_open(s->path, err);
    if (!s->store || !store_probe(s->store, err))
        return false;
    if (now_ms() - from_ms > s->stall_ms)
        return err_set(err, 503, "store %s: the disk is too slow", s->path);
    return rules_finish(&s->rules, s->store, err); // what reloads have taken away meanwhile
}

static void try_again(struct scribe *s)
{
    struct err err;
    if (!revive(s, &err)) {
        fail(s, &err);
        return;
    }
    s->retry_ms = RETRY_MS;
    log_event(LOG_WARN, "store_back", "then=\"durable histories begin new epochs\"");
    pthread_mutex_lock(&s->door);
    s->is_up = true;
    s->oldest_ms = 0; // what came before is stale
    tell_all(s, true);
    pthread_mutex_unlock(&s->door);
}

/* --- groups ------------------------------------------------------------------------------------------ */

static struct store_key key_of(const struct letter *l)
{
    return (struct store_key){.app = l->user, .channel = l->channel};
}

static struct store_rule rule_of(const struct letter *l)
{
    struct history_rule rule;
    ENSURE(l->info_json.len == sizeof rule);
    memcpy(&rule, l->info_json.p, sizeof rule);
    return (struct store_rule){
        .durability = rule.durability == DURABILITY_ACK ? STORE_ACK : STORE_ASYNC,
        .max_events = rule.max_events,
        .max_bytes = rule.max_bytes,
        .ttl_ms = (uint64_t)rule.ttl_s * 1000,
        .forget_ms = (uint64_t)rule.meta_ttl_s * 1000};
}

static bool needs_ack(const struct letter *l)
{
    if (l->mail.kind == LETTER_RESET || l->mail.kind == LETTER_RULE)
        return true;
    return l->mail.kind == LETTER_STORE && l->flag;
}

static void owe(struct scribe *s, struct letter *l)
{
    l->mail.next = NULL;
    *s->last_owed = &l->mail;
    s->last_owed = &l->mail.next;
}

/* The home thinks otherwise of this stream than the file: it begins another epoch. */
static void lose(struct scribe *s, struct letter *l, const struct err *why)
{
    counter_add(&s->counts.lost, 1);
    log_event(LOG_ERROR, "stream_lost", "app=%.*s channel=%.*s error=\"%s\"", SPAN(l->user),
        SPAN(l->channel), why->text);
    l->result = LETTER_UNSTORED;
    owe(s, l); // behind the events that were stored before it
}

/* False: it has taken too long, and whoever waited has been refused. */
static bool settle_owed(struct scribe *s)
{
    pthread_mutex_lock(&s->door);
    bool is_up = s->is_up;
    while (is_up && s->owed) {
        struct letter *l = pop_owed(s);
        bool is_lost = l->result == LETTER_UNSTORED;
        if (!answer(s, l, is_lost ? LETTER_LOST : LETTER_STORED) && is_lost)
            s->is_in_doubt = true;
    }
    pthread_mutex_unlock(&s->door);
    return is_up;
}

/* What was refused meanwhile must not be found after a crash: the streams that hold it go. */
static void revoke(struct scribe *s)
{
    struct err err;
    bool ok = store_begin(s->store, STORE_ACK, &err);
    s->in_group = ok;
    while (s->owed) {
        struct letter *l = pop_owed(s);
        struct store_key key = key_of(l);
        ok = ok && store_forget(s->store, &key, &err);
        letter_free(l);
    }
    if (ok) {
        s->in_group = false;
        ok = store_commit(s->store, &err);
    }
    if (!ok)
        fail(s, &err);
}

/* False when the store has failed. */
static bool commit(struct scribe *s)
{
    struct err err;
    if (!s->in_group)
        return true;
    s->in_group = false;
    if (!store_commit(s->store, &err)) {
        fail(s, &err);
        return false;
    }
    counter_add(&s->counts.commits, 1);
    counter_add(&s->counts.events, s->n_group);
    s->n_untrimmed += s->n_group;
    if (settle_owed(s))
        return true;
    revoke(s);
    return false;
}

static bool begin(struct scribe *s, enum store_durability mode)
{
    struct err err;
    if (s->in_group && s->n_group >= GROUP_EVENTS && !commit(s))
        return false;
    if (s->in_group)
        return true;
    if (!store_begin(s->store, mode, &err)) {
        fail(s, &err);
        return false;
    }
    s->in_group = true;
    s->n_group = 0;
    return true;
}

/* An event, an epoch or a rule, in the group.  Takes the letter. */
static void write_letter(struct scribe *s, struct letter *l)
{
    struct err err;
    struct store_key key = key_of(l);
    bool ok = true;
    if (l->mail.kind == LETTER_STORE) {
        const struct frame *f = l->frame;
        struct store_event event = {.offset = l->position.offset,
            .time_ms = l->time_ms,
            .name = span_of(f->text + f->name_at, f->name_len),
            .data = frame_data(f)};
        ok = store_append(s->store, &key, &event, &err);
        s->n_group += ok;
    } else {
        struct store_rule rule = rule_of(l);
        struct store_birth birth = {
            .epoch = span_str(l->position.epoch), .rule = rule, .now_ms = l->time_ms};
        ok = l->mail.kind == LETTER_RULE ? store_use_rule(s->store, &key, &rule, &err)
                                         : store_reset(s->store, &key, &birth, &err);
    }
    if (!ok)
        lose(s, l, &err);
    else if (l->flag)
        owe(s, l);
    else
        letter_free(l);
}

/* --- letters ----------------------------------------------------------------------------------------- */

static bool is_read(const struct mail *mail)
{
    return mail->kind == LETTER_OPEN || mail->kind == LETTER_READ;
}

/* What needs no group: reads, which see all that was posted before them. */
static void read_letter(struct scribe *s, struct letter *l)
{
    struct err err;
    struct store_key key = key_of(l);
    if (l->mail.kind == LETTER_READ) {
        if (!scribe_read_page(s->store, &key, l, &err)) {
            l->result = LETTER_UNSTORED;
            log_event(LOG_WARN, "history_unread", "channel=%.*s error=\"%s\"", SPAN(l->channel),
                err.text);
        }
        answer_alone(s, l, LETTER_PAGE);
        return;
    }
    struct store_rule rule = rule_of(l);
    if (!rules_open(&s->rules, s->store, &key, &err) ||
        !scribe_find(s->store, &key, &rule, l, &err)) {
        letter_free(l);
        fail(s, &err);
        return;
    }
    answer_alone(s, l, LETTER_OPENED);
}

/* Posted before the failure was heard of: its home has answered what waited for it. */
static bool drop_stale(struct scribe *s, struct letter *l)
{
    if (s->is_up && l->era == s->era)
        return false;
    counter_add(&s->counts.dropped, l->mail.kind == LETTER_STORE);
    letter_free(l);
    return true;
}

static void take_order(struct scribe *s, struct mail *mail)
{
    if (mail->kind == SCRIBE_CONFIG) {
        struct config_letter *letter = CONTAINER_OF(mail, struct config_letter, mail);
        rules_expect(&s->rules, letter->config);
        config_drop(letter->config);
        free(letter);
    } else {
        s->is_over = true;
        free(mail);
    }
}

static void take_letter(struct scribe *s, struct letter *l, enum store_durability mode)
{
    if (drop_stale(s, l))
        return;
    if (begin(s, mode))
        write_letter(s, l);
    else
        (void)drop_stale(s, l); // it has failed just now
}

static enum store_durability mode_for(struct mail *first)
{
    for (struct mail *mail = first; mail; mail = mail->next)
        if (mail->kind < MAIL_OTHER && needs_ack(CONTAINER_OF(mail, struct letter, mail)))
            return STORE_ACK;
    return STORE_ASYNC;
}

static void serve_reads(struct scribe *s, struct mail *first)
{
    struct mail *next;
    for (struct mail *mail = first; mail; mail = next) {
        struct letter *l = CONTAINER_OF(mail, struct letter, mail);
        next = mail->next;
        if (!drop_stale(s, l))
            read_letter(s, l);
    }
}

/* All that is to be written comes first, in one group however many reads are between: a flush costs
 * more than anything else.  Reads come behind it, in their order. */
static void take_mail(struct scribe *s)
{
    uint64_t oldest_ms = atomic_exchange(&s->oldest_ms, 0);
    s->working_ms = oldest_ms ? oldest_ms : now_ms();
    struct mail *first = mailbox_take(&s->mailbox);
    struct mail *reads = NULL;
    struct mail **last_read = &reads;
    struct mail *next;
    enum store_durability mode = mode_for(first);
    for (struct mail *mail = first; mail; mail = next) {
        next = mail->next;
        if (mail->kind >= MAIL_OTHER) {
            take_order(s, mail);
            continue;
        }
        struct letter *l = CONTAINER_OF(mail, struct letter, mail);
        atomic_fetch_sub(&s->waiting, weight(l));
        if (is_read(mail)) {
            *last_read = mail;
            last_read = &mail->next;
        } else {
            take_letter(s, l, mode);
        }
    }
    *last_read = NULL;
    (void)commit(s);
    serve_reads(s, reads);
    s->working_ms = 0;
}

/* --- retention --------------------------------------------------------------------------------------- */

static void forget_unruled(struct scribe *s)
{
    struct err err;
    if (s->is_up && !rules_step(&s->rules, s->store, &err))
        fail(s, &err);
}

/* A step that keeps pace with what comes, or is short. */
static void trim(struct scribe *s)
{
    struct err err;
    struct store_figures figures;
    uint64_t ms = now_ms();
    if (!s->is_up || ms < s->trim_at_ms)
        return;
    s->trim_at_ms = ms + TRIM_MS;
    uint64_t rows = 2 * s->n_untrimmed > TRIM_ROWS ? 2 * s->n_untrimmed : TRIM_ROWS;
    rows = rows < TRIM_ROWS_MAX ? rows : TRIM_ROWS_MAX;
    s->n_untrimmed = 0;
    if (!store_trim(s->store, clock_wall_ms(), (uint32_t)rows, &s->has_to_trim, &err)) {
        s->has_to_trim = false;
        fail(s, &err);
        return;
    }
    if (s->has_to_trim)
        s->trim_at_ms = now_ms() + TRIM_PAUSE_MS;
    store_read_figures(s->store, &figures);
    atomic_store_explicit(&s->counts.file_bytes.value, figures.file_bytes, memory_order_relaxed);
    atomic_store_explicit(&s->counts.streams.value, figures.n_streams, memory_order_relaxed);
    atomic_store_explicit(&s->counts.stored.value, figures.n_events, memory_order_relaxed);
    atomic_store_explicit(&s->counts.commit_us.value, figures.last_commit_us, memory_order_relaxed);
}

/* --- the thread -------------------------------------------------------------------------------------- */

static void wait_for_mail(struct scribe *s)
{
    struct pollfd fd = {.fd = s->mailbox.fd, .events = POLLIN};
    uint64_t ms = now_ms();
    uint64_t until_ms = s->is_up ? s->trim_at_ms : s->retry_at_ms;
    int timeout_ms = until_ms > ms ? (int)(until_ms - ms) : 0;
    if (s->is_up && rules_are_waiting(&s->rules) && timeout_ms > RELOAD_MS)
        timeout_ms = RELOAD_MS;
    if (s->is_up && rules_are_at_work(&s->rules) && timeout_ms > TRIM_PAUSE_MS)
        timeout_ms = TRIM_PAUSE_MS;
    (void)poll(&fd, 1, timeout_ms);
}

static void *run(void *arg)
{
    struct scribe *s = arg;
    while (!s->is_over) {
        wait_for_mail(s);
        rules_look(&s->rules);
        take_mail(s); // with all that the workers posted until then
        rules_turn(&s->rules);
        forget_unruled(s);
        trim(s);
        if (s->is_up)
            store_checkpoint(s->store, s->has_to_trim ? TRIM_LOG_PAGES : LOG_PAGES);
        if (!s->is_up && now_ms() >= s->retry_at_ms)
            try_again(s);
    }
    store_close(s->store, s->is_up && !s->is_in_doubt);
    s->store = NULL;
    return NULL;
}

static void release(struct scribe *s)
{
    pthread_mutex_destroy(&s->door);
    mailbox_fini(&s->mailbox);
    rules_fini(&s->rules);
    free(s->path);
    free(s);
}

struct scribe *scribe_open(struct config *config, struct house *house, struct err *err)
{
    struct scribe *s = mem_zero(sizeof *s);
    s->store = store_open(config->store.path, err);
    if (!s->store) {
        free(s);
        return NULL;
    }
    mailbox_init(&s->mailbox);
    s->path = mem_dup_str(config->store.path);
    s->queue_bytes = config->store.queue_bytes;
    s->stall_ms = config->store.stall_ms;
    rules_init(&s->rules, config);
    s->house = house;
    s->is_up = true;
    s->retry_ms = RETRY_MS;
    s->last_owed = &s->owed;
    counter_add(&s->counts.is_up, 1);
    int rc = pthread_mutex_init(&s->door, NULL);
    ENSURE(rc == 0);
    if (rules_finish(&s->rules, s->store, err))
        return s;
    store_close(s->store, false);
    s->store = NULL;
    release(s);
    return NULL;
}

void scribe_start(struct scribe *s)
{
    int rc = pthread_create(&s->thread, NULL, run, s);
    ENSURE(rc == 0);
    pthread_setname_np(s->thread, "scribe");
}

bool scribe_post(void *scribe, struct mail *letter)
{
    struct scribe *s = scribe;
    uint64_t bytes = weight(CONTAINER_OF(letter, struct letter, mail));
    if (letter->kind == LETTER_STORE && atomic_load(&s->waiting) + bytes > s->queue_bytes)
        return false;
    atomic_fetch_add(&s->waiting, bytes);
    if (!s->oldest_ms) {
        uint64_t none = 0;
        (void)atomic_compare_exchange_strong(&s->oldest_ms, &none, now_ms());
    }
    mailbox_post(&s->mailbox, letter);
    return true;
}

void scribe_watch(struct scribe *s)
{
    uint64_t ms = now_ms();
    uint64_t since_ms = s->working_ms;
    if (!since_ms)
        since_ms = s->oldest_ms;
    if (ms - s->watched_ms > BLIND_MS)
        s->blind_ms = ms; // the whole process may have been frozen: that says nothing of the disk
    s->watched_ms = ms;
    uint64_t from_ms = since_ms > s->blind_ms ? since_ms : s->blind_ms;
    if (!s->is_up || !since_ms || ms < from_ms || ms - from_ms <= s->stall_ms || !go_down(s))
        return;
    log_event(LOG_ERROR, "store_stalled",
        "limit_ms=%u then=\"histories go on in memory, events with ack are refused\"", s->stall_ms);
}

void scribe_use(struct scribe *s, struct config *config)
{
    struct config_letter *letter = mem_zero(sizeof *letter);
    letter->mail.kind = SCRIBE_CONFIG;
    letter->config = config;
    config_hold(config);
    mailbox_post(&s->mailbox, &letter->mail);
}

void scribe_leave_workers(struct scribe *s)
{
    pthread_mutex_lock(&s->door);
    s->is_deaf = true;
    pthread_mutex_unlock(&s->door);
}

void scribe_stop(struct scribe *s)
{
    if (!s)
        return;
    struct mail *letter = mem_zero(sizeof *letter);
    letter->kind = SCRIBE_STOP;
    mailbox_post(&s->mailbox, letter);
    pthread_join(s->thread, NULL);
    release(s);
}

const struct store_counts *scribe_counts(const struct scribe *s)
{
    return &s->counts;
}
