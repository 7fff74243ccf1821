/* What goes on behind a reply: upstreams, demonstrations, this server's numbers. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/act.h"
#include "serve/bridge.h"
#include "serve/poll.h"
#include "wire/json.h"

enum { ERROR_TEXT = 200 };

/* --- asking ----------------------------------------------------------------------------------------- */

static void add_question(struct act *a, struct buf *out)
{
    struct buf when = {0};
    struct variable now = {.root = SCENE_NOW};
    struct scene_value value = scene_find(&a->scene, &now, &when);
    char id[SOCKET_ID_MAX];
    buf_add_str(out, "{\"route\":");
    json_quote(out, span_str(a->route->name));
    buf_addf(out, ",\"request_id\":\"%s\",\"user\":{\"id\":", a->request_id);
    json_quote(out, a->caller.id);
    buf_add_str(out, ",\"role\":");
    json_quote(out, a->caller.role);
    buf_add_str(out, ",\"name\":");
    json_quote(out, a->caller.name);
    buf_add_str(out, ",\"claims\":");
    if (a->caller.is_known)
        buf_add_span(out, a->caller.claims.raw);
    else
        buf_add_str(out, "{}");
    buf_add_str(out, "},\"body\":");
    if (a->scene.body.kind == JSON_OBJECT)
        buf_add_span(out, a->scene.body.raw);
    else
        buf_add_str(out, "{}");
    if (a->except.nonce)
        buf_addf(out, ",\"socket_id\":\"%.*s\"", (int)socket_id_write(a->except, id), id);
    buf_add_str(out, ",\"received_at\":");
    json_quote(out, value.text);
    buf_add_char(out, '}');
    buf_fini(&when);
}

void job_ask_upstream(struct serve *s, struct act *a)
{
    const struct upstream *u = &a->action->upstream;
    struct exchange *x = mem_zero(sizeof *x);
    x->mail.kind = EXCHANGE_ASK;
    x->worker = s->worker;
    x->id = a->id;
    x->url = mem_dup_str(u->url);
    x->name = mem_dup_str(a->route->name);
    x->request_id = mem_dup_str(a->request_id);
    x->secret = mem_dup_str(u->secret);
    if (u->forwards_authorization && a->authorization.len)
        x->authorization = mem_dup(a->authorization.p, a->authorization.len);
    x->timeout_ms = u->timeout_ms;
    x->retries = u->retries;
    x->max_inflight = u->max_inflight;
    x->answer_bytes = u->reply_bytes;
    add_question(a, &x->body);
    a->is_asking = true;
    act_list(s, a);
    if (!u->is_async && a->call)
        a->call->n_left++; // the reply waits
    s->house->tell(s->house->courier, &x->mail);
}

/* --- what it answers ----------------------------------------------------------------------------------- */

struct upstream_reply {
    struct json reply, status, publish, error;
};

struct failure {
    int status;
    char text[ERROR_TEXT];
    unsigned retry_s;
};

static const struct failure failures[EXCHANGE_OUTCOMES] = {
    [EXCHANGE_TIMED_OUT] = {504, "The upstream did not answer in time", 0},
    [EXCHANGE_FAILED] = {502, "The upstream could not be reached", 0},
    [EXCHANGE_TOO_LONG] = {502, "The upstream's answer is too large", 0},
    [EXCHANGE_BUSY] = {503, "Too many requests are with the upstream", 1},
    [EXCHANGE_OPEN] = {503, "The upstream fails and is not asked for now", 5},
};

static bool fail_with(struct failure *f, int status, const char *text)
{
    *f = (struct failure){.status = status};
    snprintf(f->text, sizeof f->text, "%s", text);
    return false;
}

/* What it says of an error itself: its status where that is one, and its words. */
static bool fail_as_told(struct failure *f, const struct upstream_reply *r)
{
    struct buf scratch = {0};
    struct span text = span_str("The upstream refused");
    long status = r->status.kind == JSON_NUMBER ? strtol(r->status.raw.p, NULL, 10) : 0;
    if (r->error.kind == JSON_STRING && !json_decode(&r->error, &scratch, &text))
        text = span_str("The upstream refused");
    *f = (struct failure){.status = status >= 400 && status < 600 ? (int)status : 502};
    snprintf(f->text, sizeof f->text, "%.*s", SPAN(text));
    buf_fini(&scratch);
    return false;
}

/* Words or an object; what many say when there is none ("", false, null) is none. */
static bool is_error(const struct json *error)
{
    return (error->kind == JSON_STRING && error->raw.len > 2) || error->kind == JSON_OBJECT ||
           error->kind == JSON_ARRAY || error->kind == JSON_TRUE || error->kind == JSON_NUMBER;
}

/* 2xx and an object, or nothing at all. */
static bool read_reply(struct act *a, const struct exchange_answer *answer,
    struct upstream_reply *r, struct failure *f)
{
    struct json_field fields[] = {
        {"reply", {0}}, {"status", {0}}, {"publish", {0}}, {"error", {0}}};
    char text[ERROR_TEXT];
    *r = (struct upstream_reply){0};
    if (answer->outcome != EXCHANGE_ANSWERED) {
        *f = failures[answer->outcome];
        return false;
    }
    if (answer->status < 200 || answer->status > 299) {
        snprintf(text, sizeof text, "The upstream answered with status %d", answer->status);
        return fail_with(f, 502, text);
    }
    if (!answer->body.len)
        return true;
    if (!json_parse_fields(buf_span(&answer->body), &a->scene.upstream, fields, COUNT_OF(fields)) ||
        a->scene.upstream.kind != JSON_OBJECT) {
        a->scene.upstream = (struct json){0};
        return fail_with(f, 502, "The upstream's answer is not a JSON object");
    }
    *r =
        (struct upstream_reply){fields[0].value, fields[1].value, fields[2].value, fields[3].value};
    return !is_error(&r->error) || fail_as_told(f, r);
}

enum { EVENTS_MAX = 100 };

struct told_event {
    struct buf scratch;
    struct act_event event;
    unsigned traits;
};

static bool read_told(struct act *a, const struct json *item, struct told_event *t)
{
    struct json_field fields[] = {
        {"channel", {0}}, {"event", {0}}, {"data", {0}}, {"socket_id", {0}}};
    struct span socket;
    if (item->kind != JSON_OBJECT)
        return false;
    json_fields(item, fields, COUNT_OF(fields));
    (void)buf_room(&t->scratch, item->raw.len + 16);
    t->event.data = fields[2].value.raw;
    if (fields[0].value.kind != JSON_STRING || fields[1].value.kind != JSON_STRING ||
        fields[2].value.kind == JSON_ABSENT ||
        !json_decode(&fields[0].value, &t->scratch, &t->event.channel) ||
        !json_decode(&fields[1].value, &t->scratch, &t->event.name))
        return false;
    if (fields[3].value.kind == JSON_STRING &&
        (!json_decode(&fields[3].value, &t->scratch, &socket) ||
            !socket_id_read(socket, &t->event.except)))
        return false;
    return act_check_event(a, &t->event, &t->traits);
}

/* Its events, all or none. */
static bool publish_told(struct serve *s, struct act *a, const struct json *list)
{
    struct json item;
    size_t at = 0;
    size_t n = 0;
    bool ok = list->kind == JSON_ABSENT || list->kind == JSON_NULL || list->kind == JSON_ARRAY;
    struct told_event *told = mem_zero(EVENTS_MAX * sizeof *told);
    while (ok && list->kind == JSON_ARRAY && json_next(list, &at, &item))
        ok = n < EVENTS_MAX && read_told(a, &item, &told[n++]);
    for (size_t i = 0; i < n; i++) {
        if (ok)
            act_send_event(s, a, &told[i].event, told[i].traits);
        buf_fini(&told[i].scratch);
    }
    free(told);
    return ok;
}

/* --- the outcome ---------------------------------------------------------------------------------------- */

static void take_status(struct act *a, const struct json *status)
{
    long n = status->kind == JSON_NUMBER ? strtol(status->raw.p, NULL, 10) : 0;
    if (n >= 200 && n < 300)
        a->status = (int)n;
}

/* Somebody waits for what the upstream says. */
static bool is_owed(const struct act *a)
{
    return (a->call || a->socket.nonce) && !a->action->upstream.is_async;
}

static void succeed(struct serve *s, struct act *a, const struct upstream_reply *r)
{
    serve_count(s, COUNTER_UPSTREAM_OK, 1);
    if (!act_publish(s, a, MOMENT_DONE))
        log_event(LOG_WARN, "gateway_events", "route=%s why=\"an event could not be published\"",
            a->route->name);
    if (!is_owed(a) || a->status >= 400)
        return;
    if (r->reply.kind != JSON_ABSENT && r->reply.kind != JSON_NULL)
        buf_add_span(&a->reply, r->reply.raw);
    take_status(a, &r->status);
    act_write_reply(a); // now: its text goes, while the events may still be under way
}

static void count_failure(struct serve *s, enum exchange_outcome outcome)
{
    if (outcome == EXCHANGE_TIMED_OUT)
        serve_count(s, COUNTER_UPSTREAM_TIMEOUT, 1);
    else if (outcome == EXCHANGE_BUSY || outcome == EXCHANGE_OPEN)
        serve_count(s, COUNTER_UPSTREAM_REFUSED, 1);
    else
        serve_count(s, COUNTER_UPSTREAM_FAILED, 1);
}

/* With nobody waiting, the caller hears of it on a channel of its own. */
static void tell_failure(struct serve *s, struct act *a, const struct failure *f)
{
    static const char prefix[] = "private-user-";
    struct buf channel = {0};
    struct buf data = {0};
    struct act_event e = {.name = span_str("message")};
    unsigned traits;
    buf_add_str(&channel, prefix);
    buf_add_span(&channel, a->caller.id);
    buf_addf(&data, "{\"type\":\"error\",\"request_id\":\"%s\",\"error\":", a->request_id);
    json_quote(&data, span_str(f->text));
    buf_add_char(&data, '}');
    e.channel = buf_span(&channel);
    e.data = buf_span(&data);
    if (act_check_event(a, &e, &traits))
        act_send_event(s, a, &e, traits);
    buf_fini(&channel);
    buf_fini(&data);
}

static void fail(struct serve *s, struct act *a, const struct failure *f)
{
    bool has_own = false;
    char text[ERROR_TEXT];
    size_t n = strnlen(f->text, sizeof text - 1);
    memcpy(text, f->text, n);
    text[n] = '\0';
    log_event(LOG_WARN, "upstream_failed", "route=%s status=%d why=\"%s\"", a->route->name,
        f->status, f->status < 500 ? "it refused" : f->text);
    a->scene.error = span_str(text);
    for (size_t i = 0; i < a->action->n_publishes; i++)
        has_own |= a->action->publishes[i].when == MOMENT_FAILED;
    if (has_own)
        (void)act_publish(s, a, MOMENT_FAILED);
    else if (a->action->upstream.is_async)
        tell_failure(s, a, f);
    a->scene.error = span_of(NULL, 0);
    if (!is_owed(a))
        return;
    if (f->retry_s)
        snprintf(a->headers, sizeof a->headers, "Retry-After: %u\r\n", f->retry_s);
    (void)act_fail(a, f->status, "%s", text);
}

static void conclude(struct serve *s, struct act *a, const struct exchange_answer *answer)
{
    struct upstream_reply r;
    struct failure f;
    bool ok = read_reply(a, answer, &r, &f);
    if (ok && !publish_told(s, a, &r.publish))
        ok = fail_with(&f, 502, "The upstream's answer has an event that cannot be published");
    if (ok) {
        succeed(s, a, &r);
        return;
    }
    count_failure(s, answer->outcome);
    fail(s, a, &f);
}

void jobs_receive(struct serve *s, struct exchange_answer *answer)
{
    struct act *a = act_find(s, answer->id);
    if (a && a->is_asking) {
        a->is_asking = false;
        a->scene.now_ms = clock_wall_ms();
        conclude(s, a, answer);
        a->scene.upstream = (struct json){0}; // its text goes
        if (is_owed(a) && a->call)
            call_settle(s, conn_at(s, a->conn));
        else if (is_owed(a))
            bridge_answer(s, a);
        act_unlist(s, a);
    }
    exchange_answer_free(answer);
}

/* --- demonstrations ---------------------------------------------------------------------------------------- */

void job_begin_demo(struct serve *s, struct act *a)
{
    act_is_due(s, a, s->now_ms + a->action->demo.every_ms);
    act_list(s, a);
}

/* False when it is over. */
static bool take_step(struct serve *s, struct act *a)
{
    const struct demo *demo = &a->action->demo;
    a->scene.now_ms = clock_wall_ms();
    a->scene.progress = demo->steps[a->step++];
    bool ok = act_publish(s, a, MOMENT_STEP);
    if (a->step < demo->n_steps && ok) {
        a->due_ms += demo->every_ms;
        return true;
    }
    (void)act_publish(s, a, MOMENT_DONE);
    return false;
}

/* All that wait are looked at, but only when one is due: thousands of polls cost nothing in
 * between. */
void jobs_run(struct serve *s)
{
    struct list_node *next;
    s->has_due = false;
    for (struct list_node *node = s->acts.first; node; node = next) {
        next = node->next;
        struct act *a = CONTAINER_OF(node, struct act, node);
        if (a->is_asking)
            continue;
        if ((int32_t)(s->now_ms - a->due_ms) < 0)
            act_is_due(s, a, a->due_ms);
        else if (a->poll)
            call_settle(s, conn_at(s, a->conn)); // the wait is over: that unlists it
        else if (take_step(s, a))
            act_is_due(s, a, a->due_ms);
        else
            act_unlist(s, a);
    }
}

uint32_t jobs_wait_ms(const struct serve *s)
{
    if (!s->has_due)
        return UINT32_MAX;
    int32_t left = (int32_t)(s->due_ms - s->now_ms);
    return left > 0 ? (uint32_t)left : 0;
}

void jobs_hurry(struct serve *s)
{
    for (struct list_node *node = s->acts.first; node; node = node->next)
        poll_hurry(s, CONTAINER_OF(node, struct act, node));
}

/* --- numbers ------------------------------------------------------------------------------------------------- */

/* True when somebody on any worker is in a channel of it whose home is here. */
static bool is_heard(const struct serve *s, const struct act *a)
{
    for (size_t i = 0; i < a->action->n_publishes; i++) {
        const struct publish *p = &a->action->publishes[i];
        struct span channel = span_str(p->channels[0].text);
        if (hub_is_occupied(s->hub, a->app->slot, channel))
            return true;
    }
    return false;
}

static void publish_numbers(struct serve *s, const struct route *route, uint32_t *last_ms)
{
    struct act *a = act_new(s, NULL, route);
    if (is_heard(s, a) && s->now_ms - *last_ms >= a->action->every_ms) {
        *last_ms = s->now_ms ? s->now_ms : 1;
        if (builtin_run(s, a))
            (void)act_publish(s, a, MOMENT_ACCEPT);
    } else if (!is_heard(s, a)) {
        *last_ms = s->now_ms - a->action->every_ms; // the next to come gets them at once
    }
    act_drop(a);
}

void jobs_sweep(struct serve *s)
{
    const struct gateway *g = s->config->gateway;
    for (size_t i = 0; g && i < g->n_routes; i++)
        if (g->routes[i].action.builtin == BUILTIN_SERVER_METRICS)
            publish_numbers(s, &g->routes[i], &s->numbers_ms[i]);
}

void jobs_use_config(struct serve *s)
{
    const struct gateway *g = s->config->gateway;
    /* The rules may be others now: who waits asks again. */
    jobs_hurry(s);
    s->numbers_ms = mem_array(s->numbers_ms, g ? g->n_routes + 1 : 1, sizeof *s->numbers_ms);
    for (size_t i = 0; g && i < g->n_routes; i++)
        s->numbers_ms[i] = s->now_ms - g->routes[i].action.every_ms;
}

void jobs_free_all(struct serve *s)
{
    while (s->acts.first) {
        struct act *a = CONTAINER_OF(s->acts.first, struct act, node);
        serve_count(s, COUNTER_GATEWAY_ABANDONED, 1);
        log_event(
            LOG_WARN, "gateway_abandoned", "route=%s request=%s", a->route->name, a->request_id);
        act_unlist(s, a);
    }
}
