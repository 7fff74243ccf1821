/* The courier's loop. */
#include "base/base.h"

#include "courier.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/mailbox.h"
#include "notify/outbound.h"
#include "notify/upstream.h"
#include "notify/webhook.h"
#include "serve/serve.h"

enum courier_letter { COURIER_CONFIG = MAIL_OTHER, COURIER_STOP };

struct courier {
    struct mailbox mailbox;
    struct config *config; // held
    struct house *house;
    struct outbound *outbound;
    struct webhooks *webhooks;
    struct upstreams *upstreams;
    struct fact_counts counts;
    pthread_t thread;
    pthread_mutex_t door; // of is_deaf, held while a worker is posted to
    bool is_deaf;         // the workers have gone
    uint64_t stop_by_ms;  // 0 = it goes on
};

struct config_letter {
    struct mail mail;
    struct config *config; // held for the receiver
};

struct stop_letter {
    struct mail mail;
    uint32_t window_ms;
};

static struct webhook_time time_now(void)
{
    return (struct webhook_time){clock_us() / 1000, clock_wall_ms()};
}

static void use_config(struct courier *c)
{
    const struct config *config = c->config;
    struct webhook_limits limits = {.timeout_ms = config->webhooks.timeout_ms,
        .retry_ms = config->webhooks.retry_s * 1000,
        .grace_ms = config->webhooks.grace_ms,
        .queue_events = config->webhooks.queue_events,
        .queue_bytes = config->webhooks.queue_bytes,
        .refuses_private = !config->webhooks.private_addresses};
    webhooks_use(c->webhooks, config->apps, config->n_apps, &limits, time_now());
}

/* Takes the letter. */
static void post(
    struct courier *c, unsigned worker, struct mail *letter, void (*drop)(struct mail *))
{
    pthread_mutex_lock(&c->door);
    if (c->is_deaf)
        drop(letter);
    else
        serve_post(c->house->workers[worker], letter);
    pthread_mutex_unlock(&c->door);
}

static void drop_answer(struct mail *mail)
{
    letter_free(CONTAINER_OF(mail, struct letter, mail));
}

static void drop_exchange(struct mail *mail)
{
    exchange_answer_free(CONTAINER_OF(mail, struct exchange_answer, mail));
}

static void on_exchange(void *ctx, unsigned worker, struct exchange_answer *a)
{
    a->mail.kind = SERVE_LETTER_EXCHANGE;
    post(ctx, worker, &a->mail, drop_exchange);
}

/* Answers a worker's question with JSON, as a home would. */
static void answer(struct courier *c, struct fact_ask *ask)
{
    struct buf json = {0};
    struct letter *letter = mem_zero(sizeof *letter);
    webhooks_describe(c->webhooks, ask->app, &json);
    letter->mail.kind = LETTER_ANSWER;
    memcpy(letter->request, ask->request, sizeof letter->request);
    letter->cached = frame_new(json.len);
    memcpy(letter->cached->text, json.p, json.len);
    buf_fini(&json);
    post(c, ask->worker, &letter->mail, drop_answer);
    free(ask);
}

static void take_letter(struct courier *c, struct mail *mail)
{
    if (mail->kind < FACT_KINDS) {
        webhooks_take(c->webhooks, CONTAINER_OF(mail, struct fact, mail), time_now());
    } else if (mail->kind == FACT_ASK) {
        answer(c, CONTAINER_OF(mail, struct fact_ask, mail));
    } else if (mail->kind == EXCHANGE_ASK) {
        struct webhook_time time = time_now();
        upstreams_ask(
            c->upstreams, CONTAINER_OF(mail, struct exchange, mail), time.now_ms, time.wall_ms);
    } else if (mail->kind == COURIER_CONFIG) {
        struct config_letter *letter = CONTAINER_OF(mail, struct config_letter, mail);
        struct config *old = c->config;
        c->config = letter->config;
        use_config(c); // before the old apps go
        config_drop(old);
        free(letter);
    } else {
        struct stop_letter *letter = CONTAINER_OF(mail, struct stop_letter, mail);
        c->stop_by_ms = clock_us() / 1000 + letter->window_ms;
        webhooks_hurry(c->webhooks, time_now());
        free(letter);
    }
}

static void take_mail(struct courier *c)
{
    struct mail *next;
    for (struct mail *mail = mailbox_take(&c->mailbox); mail; mail = next) {
        next = mail->next;
        take_letter(c, mail);
    }
}

static bool is_over(const struct courier *c)
{
    if (!c->stop_by_ms)
        return false;
    return webhooks_is_idle(c->webhooks) || clock_us() / 1000 >= c->stop_by_ms;
}

static void *run(void *arg)
{
    struct courier *c = arg;
    while (!is_over(c)) {
        int timeout_ms = webhooks_run(c->webhooks, time_now());
        if (c->stop_by_ms && (timeout_ms < 0 || timeout_ms > 50))
            timeout_ms = 50;
        outbound_wait(c->outbound, c->mailbox.fd, timeout_ms < 0 ? 60000 : timeout_ms);
        take_mail(c);
    }
    webhooks_abandon(c->webhooks);
    return NULL;
}

struct courier *courier_start(struct config *config, struct house *house)
{
    struct courier *c = mem_zero(sizeof *c);
    mailbox_init(&c->mailbox);
    c->config = config;
    config_hold(config);
    c->house = house;
    c->outbound = outbound_new();
    c->webhooks = webhooks_new(outbound_post, c->outbound, &c->counts);
    c->upstreams = upstreams_new(c->outbound, on_exchange, c);
    use_config(c);
    int rc = pthread_mutex_init(&c->door, NULL);
    ENSURE(rc == 0);
    rc = pthread_create(&c->thread, NULL, run, c);
    ENSURE(rc == 0);
    pthread_setname_np(c->thread, "courier");
    return c;
}

void courier_post(void *courier, struct mail *letter)
{
    struct courier *c = courier;
    mailbox_post(&c->mailbox, letter);
}

void courier_use(struct courier *c, struct config *config)
{
    struct config_letter *letter = mem_zero(sizeof *letter);
    letter->mail.kind = COURIER_CONFIG;
    letter->config = config;
    config_hold(config);
    courier_post(c, &letter->mail);
}

void courier_leave_workers(struct courier *c)
{
    pthread_mutex_lock(&c->door);
    c->is_deaf = true;
    pthread_mutex_unlock(&c->door);
}

void courier_stop(struct courier *c, uint32_t window_ms)
{
    if (!c)
        return;
    struct stop_letter *letter = mem_zero(sizeof *letter);
    letter->mail.kind = COURIER_STOP;
    letter->window_ms = window_ms;
    courier_post(c, &letter->mail);
    pthread_join(c->thread, NULL);
    outbound_free(c->outbound);
    webhooks_free(c->webhooks);
    upstreams_free(c->upstreams);
    pthread_mutex_destroy(&c->door);
    mailbox_fini(&c->mailbox);
    config_drop(c->config);
    free(c);
}

const struct fact_counts *courier_counts(const struct courier *c)
{
    return &c->counts;
}
