/* An act's life, its replies and its events. */
#include "base/base.h"

#include "serve/poll.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/json.h"
#include "wire/pusher.h"

static const uint32_t no_item = UINT32_MAX; // of a call: nothing of the answer is kept

struct act *act_new(struct serve *s, struct conn *c, const struct route *route)
{
    struct act *a = mem_zero(sizeof *a);
    a->refs = 1;
    a->id = ++s->n_acts_ever;
    a->config = s->config;
    config_hold(a->config);
    a->gateway = s->config->gateway;
    a->app = config_app_by_id(s->config, span_str(a->gateway->app));
    ENSURE(a->app != NULL); // the loader has checked it
    a->route = route;
    a->action = &route->action;
    a->status = route->status;
    a->scene.caller = &a->caller;
    a->scene.now_ms = clock_wall_ms();
    if (c) {
        a->conn = c->index;
        a->serial = c->serial;
        a->call = call_new(CALL_ACT, a->app, s->house->n_workers);
        a->call->act = a;
    }
    return a;
}

void act_drop(struct act *a)
{
    if (!a || --a->refs > 0)
        return;
    ENSURE(!a->is_listed);
    caller_fini(&a->caller);
    buf_fini(&a->body);
    buf_fini(&a->query);
    buf_fini(&a->path);
    buf_fini(&a->metrics);
    buf_fini(&a->authorization);
    buf_fini(&a->channel);
    buf_fini(&a->reply);
    poll_free(a->poll);
    config_drop(a->config);
    free(a);
}

void act_list(struct serve *s, struct act *a)
{
    ENSURE(!a->is_listed);
    a->is_listed = true;
    a->refs++;
    list_append(&s->acts, &a->node);
    map_add(&s->acts_by_id, &a->by_id, (uint32_t)a->id);
}

struct act *act_find(const struct serve *s, uint64_t id)
{
    struct map_node *node = map_first(&s->acts_by_id, (uint32_t)id);
    for (; node; node = map_next(node)) {
        struct act *a = CONTAINER_OF(node, struct act, by_id);
        if (a->id == id)
            return a;
    }
    return NULL;
}

void act_is_due(struct serve *s, struct act *a, uint32_t due_ms)
{
    a->due_ms = due_ms;
    if (!s->has_due || (int32_t)(due_ms - s->due_ms) < 0)
        s->due_ms = due_ms;
    s->has_due = true;
}

void act_unlist(struct serve *s, struct act *a)
{
    ENSURE(a->is_listed);
    a->is_listed = false;
    list_remove(&s->acts, &a->node);
    map_remove(&s->acts_by_id, &a->by_id);
    act_drop(a);
}

/* --- replies -------------------------------------------------------------------------------------- */

bool act_fail(struct act *a, int status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n = strlen(text);
    while (n && !utf8_is_valid(span_of(text, n)))
        n--; // cut in the middle of a character
    a->status = status;
    a->reply.len = 0;
    buf_add_str(&a->reply, "{\"detail\":");
    json_quote(&a->reply, span_of(text, n));
    buf_add_char(&a->reply, '}');
    return false;
}

bool act_fail_fields(struct act *a, const struct buf *list)
{
    a->status = 422;
    a->reply.len = 0;
    buf_add_str(&a->reply, "{\"detail\":[");
    buf_add_span(&a->reply, buf_span(list));
    buf_add_str(&a->reply, "]}");
    return false;
}

/* What the body has there, if it is that which is wrong. */
static struct json given_value(const struct act *a, const char *where, const char *name)
{
    struct json body;
    struct json_field field = {.name = name};
    if (strcmp(where, "body") == 0 && !json_parse_fields(buf_span(&a->body), &body, &field, 1))
        field.value.kind = JSON_ABSENT;
    return field.value;
}

bool act_fail_value(struct act *a, const char *where, const char *name, const char *message)
{
    struct buf list = {0};
    struct json input = given_value(a, where, name);
    fault_add(&list, "value_error", span_str(where), name, message, &input);
    (void)act_fail_fields(a, &list);
    buf_fini(&list);
    return false;
}

void act_write_reply(struct act *a)
{
    if (a->reply.len)
        return;
    a->scene.channel = buf_span(&a->channel);
    if (a->reply_form)
        template_write(a->reply_form, &a->scene, &a->reply);
    else if (a->route->has_reply)
        template_write(&a->route->reply, &a->scene, &a->reply);
    else
        buf_addf(&a->reply, "{\"success\":true,\"request_id\":\"%s\"}", a->request_id);
}

/* --- what may be ------------------------------------------------------------------------------------ */

bool act_may(struct act *a, struct span channel, enum policy_action action)
{
    struct decision d = policy_decide(&a->gateway->policy, &a->caller, channel, action);
    if (d.is_allowed)
        return true;
    log_event(LOG_INFO, "gateway_denied", "route=%s action=%s rule=\"%s\"", a->route->name,
        policy_word(action), d.rule ? d.rule->pattern.text : "none");
    if (a->caller.is_known)
        return act_fail(a, 403, "Insufficient permissions for this channel");
    return act_fail(a, 401, "Authorization header missing");
}

bool act_channel(
    struct act *a, struct span channel, const char *where, const char *name, unsigned *traits)
{
    char message[200];
    uint32_t max = a->app->limits.channel_name_chars;
    if (pusher_channel(channel, max, traits))
        return true;
    snprintf(message, sizeof message,
        "Input should be the name of a channel: at most %u of A-Z a-z 0-9 _ - = @ , . ;", max);
    return act_fail_value(a, where, name, message);
}

static bool check_name(struct act *a, struct span name)
{
    char message[100];
    uint32_t max = a->app->limits.event_name_chars;
    if (!name.len)
        return act_fail_value(a, "body", "event", "The event's name is empty");
    if (utf8_chars(name) > max) {
        snprintf(message, sizeof message, "The event's name is longer than %u characters", max);
        return act_fail_value(a, "body", "event", message);
    }
    if (span_starts(name, "pusher:") || span_starts(name, "pusher_internal:"))
        return act_fail_value(a, "body", "event", "Names that begin with 'pusher:' are reserved");
    return true;
}

bool act_check_event(struct act *a, const struct act_event *e, unsigned *traits)
{
    struct json data;
    if (!act_channel(a, e->channel, "body", "channel", traits) || !check_name(a, e->name))
        return false;
    if (!json_parse(e->data, &data))
        return act_fail_value(a, "body", "data", "The event's data is not JSON");
    size_t bytes = data.kind == JSON_STRING ? json_string_bytes(&data) : data.raw.len;
    if (bytes > a->app->limits.event_data_bytes)
        return act_fail(a, 413, "The data of this event has %zu bytes, and at most %u may be sent",
            bytes, a->app->limits.event_data_bytes);
    return true;
}

/* --- events ----------------------------------------------------------------------------------------- */

void act_send_event(struct serve *s, struct act *a, const struct act_event *e, unsigned traits)
{
    struct buf name = {0};
    struct buf data = {0};
    struct letter ask = {.mail.kind = LETTER_PUBLISH,
        .app = a->app->slot,
        .traits = (uint8_t)traits,
        .session = e->except,
        .channel = e->channel,
        .request = {SLAB_NONE, 0, 0}};
    json_quote(&name, e->name);
    if (e->data.p[0] == '"')
        buf_add_span(&data, e->data);
    else
        json_quote(&data, e->data);
    serve_count(s, COUNTER_PUBLISHES, 1);
    app_count(&app_usage(a->app->slot)->events_in, 1);
    ask.frame = pusher_event(buf_span(&name), e->channel, buf_span(&data), span_of(NULL, 0));
    ask.frame->accepted_us = s->now_us;
    if (a->call) {
        call_ask(s, conn_at(s, a->conn), a->call, no_item, &ask);
    } else {
        (void)hub_ask(s->hub, &ask); // nobody waits
        frame_drop(ask.cached);
    }
    frame_drop(ask.frame);
    buf_fini(&name);
    buf_fini(&data);
}

/* An event that a template has made. */
struct made {
    struct buf channel, name, data;
    struct act_event event;
    unsigned traits;
};

/* Where a variable's value came from, for who must mend it. */
static bool fail_variable(struct act *a, const struct variable *v, const char *what)
{
    char message[200];
    char name[200];
    size_t n = 0;
    bool is_token = v->root <= SCENE_USER_ROLE || v->root == SCENE_CLAIM;
    const char *where = is_token ? "token" : v->root == SCENE_QUERY ? "query" : "body";
    snprintf(message, sizeof message,
        "{%s} cannot stand in the name of %s: a value of A-Z a-z 0-9 _ - = @ , . ; is needed",
        v->text, what);
    if (v->root == SCENE_USER_ID)
        n = (size_t)snprintf(name, sizeof name, "%s", a->gateway->jwt.id_claims[0]);
    for (const char *part = v->path; *part && n < sizeof name; part += strlen(part) + 1)
        n += (size_t)snprintf(name + n, sizeof name - n, "%s%s", n ? "." : "", part);
    return act_fail_value(a, where, n ? name : v->text, message);
}

/* A channel that may be left out is, when the request says nothing of it. */
static bool has_values(const struct name_template *t, const struct scene *scene)
{
    struct buf scratch = {0};
    bool ok = true;
    for (size_t i = 0; i < t->n_ops && ok; i++) {
        if (t->ops[i].kind == TEMPLATE_TEXT)
            continue;
        struct scene_value value = scene_find(scene, &t->ops[i].variable, &scratch);
        ok = value.is_text || (value.json.kind != JSON_ABSENT && value.json.kind != JSON_NULL);
        scratch.len = 0;
    }
    buf_fini(&scratch);
    return ok;
}

static bool make_channel(struct act *a, const struct publish *p, struct made *m)
{
    const struct variable *culprit = NULL;
    size_t which = 0;
    while (which + 1 < p->n_channels && !has_values(&p->channels[which], &a->scene))
        which++;
    const struct name_template *t = &p->channels[which];
    if (!name_write_channel(t, &a->scene, &m->channel, &culprit))
        return fail_variable(a, culprit, "a channel");
    m->event.channel = buf_span(&m->channel);
    if (name_is_trusted(t))
        return true;
    return act_channel(a, m->event.channel, "body", "channel", &m->traits) &&
           act_may(a, m->event.channel, POLICY_PUBLISH);
}

static bool make(struct act *a, const struct publish *p, struct made *m)
{
    const struct variable *culprit = NULL;
    if (!make_channel(a, p, m))
        return false;
    if (!name_write(&p->event, &a->scene, &m->name, &culprit))
        return fail_variable(a, culprit, "an event");
    if (!a->channel.len)
        buf_add_span(&a->channel, m->event.channel);
    a->scene.channel = buf_span(&a->channel);
    template_write(&p->data, &a->scene, &m->data);
    m->event.name = buf_span(&m->name);
    m->event.data = buf_span(&m->data);
    if (p->excludes_caller)
        m->event.except = a->except;
    return act_check_event(a, &m->event, &m->traits);
}

/* All are made before any is sent. */
bool act_publish(struct serve *s, struct act *a, enum moment when)
{
    struct made *made = mem_zero((a->action->n_publishes + 1) * sizeof *made);
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < a->action->n_publishes && ok; i++)
        if (a->action->publishes[i].when == when)
            ok = make(a, &a->action->publishes[i], &made[n++]);
    for (size_t i = 0; i < n; i++) {
        if (ok)
            act_send_event(s, a, &made[i].event, made[i].traits);
        buf_fini(&made[i].channel);
        buf_fini(&made[i].name);
        buf_fini(&made[i].data);
    }
    free(made);
    return ok;
}

/* --- the end of a request ----------------------------------------------------------------------------- */

void act_finish(struct serve *s, struct conn *c, struct act *a)
{
    call_finish(s, c, a->call);
}

static void count_answer(struct serve *s, int status)
{
    serve_count(s, COUNTER_GATEWAY_REQUESTS, 1);
    if (status == 401)
        serve_count(s, COUNTER_GATEWAY_UNKNOWN, 1);
    else if (status == 403)
        serve_count(s, COUNTER_GATEWAY_DENIED, 1);
    else if (status == 429)
        serve_count(s, COUNTER_GATEWAY_LIMITED, 1);
    else if (status >= 400 && status < 500)
        serve_count(s, COUNTER_GATEWAY_INVALID, 1);
}

static void fail_unstored(struct act *a)
{
    snprintf(a->headers, sizeof a->headers, "Retry-After: 1\r\n");
    (void)act_fail(a, 503, "The store of event histories is not available: try again");
}

void act_answer(struct serve *s, struct conn *c, struct call *call)
{
    struct act *a = call->act;
    a->call = NULL;
    poll_stop(s, a);
    if (a->status < 400 && call->n_unstored)
        fail_unstored(a);
    if (a->status < 400)
        builtin_gather(s, a, call);
    act_write_reply(a);
    if (a->status == 401) // whoever says it, an upstream as well: RFC 9110 11.6.1
        snprintf(a->headers, sizeof a->headers, "WWW-Authenticate: Bearer\r\n");
    count_answer(s, a->status);
    size_t n = strlen(a->headers);
    endpoint_cors(a->gateway, a->origin, a->headers + n, sizeof a->headers - n);
    conn_reply(s, c,
        &(struct reply){.status = a->status,
            .type = "application/json",
            .body = buf_span(&a->reply),
            .headers = a->headers});
}
