/* GET /events/KEY?channels=a,b: public channels as Server-Sent Events. */
#include "base/base.h"

#include "serve/fallback.h"

#include "base/text.h"
#include "serve/api_auth.h"
#include "serve/conn.h"
#include "wire/json.h"
#include "wire/pusher.h"

/* The next name of a list with commas; false at its end. */
static bool next_name(struct span *list, struct span *name)
{
    if (!list->p)
        return false;
    const char *comma = list->len ? memchr(list->p, ',', list->len) : NULL;
    *name = comma ? span_of(list->p, (size_t)(comma - list->p)) : *list;
    *list = comma ? span_from(*list, name->len + 1) : span_of(NULL, 0);
    return true;
}

static void answer(struct serve *s, struct conn *c, int status, const char *before,
    struct span name, const char *after)
{
    struct buf body = {0};
    buf_add_str(&body, before);
    for (size_t i = 0; i < name.len && i < 200; i++)
        buf_add_char(&body, (unsigned char)name.p[i] < ' ' ? '?' : name.p[i]);
    buf_add_str(&body, after);
    buf_add_char(&body, '\n');
    conn_reply(s, c,
        &(struct reply){.status = status,
            .type = "text/plain; charset=utf-8",
            .body = buf_span(&body),
            .headers = status == 503 ? "Access-Control-Allow-Origin: *\r\nRetry-After: 5\r\n"
                                     : "Access-Control-Allow-Origin: *\r\n"});
    buf_fini(&body);
}

/* True when every name is that of a public channel; otherwise the request is answered. */
static bool check_names(struct serve *s, struct conn *c, const struct app *app, struct span names)
{
    struct span name;
    while (next_name(&names, &name)) {
        unsigned traits;
        if (!pusher_channel(name, app->limits.channel_name_chars, &traits)) {
            answer(s, c, 400, "'", name, "' is not the name of a channel");
            return false;
        }
        if (traits & (CHANNEL_PRIVATE | CHANNEL_USER)) {
            answer(s, c, 403, "channel '", name, "' needs an authorisation, which this has not");
            return false;
        }
    }
    return true;
}

static int status_of(enum close_reason why)
{
    if (why == CLOSE_UNKNOWN_KEY)
        return 404;
    if (why == CLOSE_BAD_PROTOCOL)
        return 400;
    return why == CLOSE_OVER_QUOTA || why == CLOSE_OVER_CAPACITY || why == CLOSE_SHUTDOWN ? 503
                                                                                          : 403;
}

/* As if the client had sent its subscriptions. */
static void subscribe(struct serve *s, struct fallback *f, struct span names)
{
    struct buf list = {0};
    struct buf message = {0};
    struct span name;
    buf_add_char(&list, '[');
    while (next_name(&names, &name)) {
        message.len = 0;
        buf_add_str(&message, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":");
        json_quote(&message, name);
        buf_add_str(&message, "}}");
        if (list.len > 1)
            buf_add_char(&list, ',');
        json_quote(&list, buf_span(&message));
    }
    buf_add_char(&list, ']');
    fallback_post(s, f, buf_span(&list), 0);
    buf_fini(&list);
    buf_fini(&message);
}

static void open_stream(
    struct serve *s, struct conn *c, const struct session_claim *claim, struct span names)
{
    static const char retry[] = "retry: 3000";
    char first[64 + AUDIENCE_EXTRA];
    struct fallback *f = fallback_new(s, FALLBACK_EVENTS, span_of(NULL, 0));
    fallback_attach(s, f, c, true);
    if (c->state != CONN_RECEIVE) {
        app_disconnect(claim->app->slot); // it was gone already
        return;
    }
    size_t n = audience_line(AUDIENCE_STREAM, first, span_str(retry));
    fallback_open_session(s, f, claim, span_of(first, n));
    subscribe(s, f, names);
}

void events_request(struct serve *s, struct conn *c, const struct http_head *head, struct span key)
{
    struct session_claim claim;
    struct buf names = {0};
    if (head->method != HTTP_GET) {
        answer(s, c, 405, "only GET", span_of("", 0), "");
        return;
    }
    if (!api_param(head->query, "channels", &names) || !names.len) {
        answer(s, c, 400, "the parameter 'channels' is missing: ", span_of("", 0),
            "names of public channels with commas between them");
        buf_fini(&names);
        return;
    }
    enum close_reason why = fallback_check(s, c->flags & CONN_TLS, head, key, &claim);
    if (why != CLOSE_REASONS) {
        counter_add(&s->stats.closes[why], 1);
        answer(s, c, status_of(why), close_sentence(why), span_of("", 0), "");
    } else if (!check_names(s, c, claim.app, buf_span(&names))) {
        app_disconnect(claim.app->slot);
    } else {
        open_stream(s, c, &claim, buf_span(&names));
    }
    buf_fini(&names);
}
