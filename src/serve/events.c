/* GET /events/KEY?channels=a,b: channels as Server-Sent Events; private ones with a token, under
 * the gateway's policy.  Who comes back says by Last-Event-ID where it was (docs/history.md). */
#include "base/base.h"

#include "serve/fallback.h"

#include "base/clock.h"
#include "base/text.h"
#include "serve/act.h"
#include "serve/api_auth.h"
#include "serve/conn.h"
#include "serve/session.h"
#include "wire/json.h"
#include "wire/pusher.h"
#include "wire/sign.h"

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

static const char *headers_of(int status)
{
    switch (status) {
    case 401:
        return FALLBACK_ANY_ORIGIN "WWW-Authenticate: Bearer\r\n";
    case 405:
        return FALLBACK_ANY_ORIGIN "Allow: GET, OPTIONS\r\n";
    case 503:
        return FALLBACK_ANY_ORIGIN "Retry-After: 5\r\n";
    default:
        return FALLBACK_ANY_ORIGIN;
    }
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
            .headers = headers_of(status)});
    buf_fini(&body);
}

/* Channels of a stream that says by its ids where it is: an id has a position of each. */
enum { PLACES_MAX = 32 };

/* Who asks for what. */
struct viewer {
    const struct gateway *gateway; // NULL = none, or not for this app
    const struct app *app;
    struct caller caller;
    struct span names;
    struct position from[PLACES_MAX]; // where it was, by name
    bool has_places;                  // there are not more names than that
};

/* May the caller join this channel?  False with the request answered. */
static bool check_private(
    struct serve *s, struct conn *c, const struct viewer *v, struct span name, unsigned traits)
{
    bool is_open = v->gateway && !(traits & (CHANNEL_USER | CHANNEL_ENCRYPTED));
    if (is_open && !v->caller.is_known) {
        answer(s, c, 401, "channel '", name, "' needs a token in an Authorization header");
        return false;
    }
    if (!is_open || !policy_decide(&v->gateway->policy, &v->caller, name, POLICY_JOIN).is_allowed) {
        answer(s, c, 403, "channel '", name, "' needs an authorisation, which this has not");
        return false;
    }
    return true;
}

/* True when every name is that of a channel that may be joined; otherwise the request is
 * answered. */
static bool check_names(struct serve *s, struct conn *c, const struct viewer *v)
{
    struct span names = v->names;
    struct span name;
    while (next_name(&names, &name)) {
        unsigned traits;
        if (!pusher_channel(name, v->app->limits.channel_name_chars, &traits)) {
            answer(s, c, 400, "'", name, "' is not the name of a channel");
            return false;
        }
        if ((traits & (CHANNEL_PRIVATE | CHANNEL_USER)) && !check_private(s, c, v, name, traits))
            return false;
    }
    return true;
}

/* A token that is there must be good.  False with the request answered. */
static bool check_token(
    struct serve *s, struct conn *c, const struct http_head *head, struct viewer *v)
{
    enum jwt_result result = JWT_OK;
    if (s->config->gateway && strcmp(s->config->gateway->app, v->app->id) == 0)
        v->gateway = s->config->gateway;
    if (v->gateway)
        result = endpoint_caller(v->gateway, head->authorization, &v->caller);
    if (result != JWT_OK)
        answer(s, c, 401, jwt_detail(result), span_of("", 0), "");
    return result == JWT_OK;
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

/* What a client would have got from the gateway for this channel. */
static void add_authorisation(struct serve *s, const struct fallback *f, const struct viewer *v,
    struct span name, struct buf *out)
{
    char id[SOCKET_ID_MAX];
    char hex[SIGN_HEX];
    struct buf data = {0};
    unsigned traits;
    const struct app_key *key = &v->app->keys[0];
    if (!pusher_channel(name, v->app->limits.channel_name_chars, &traits) ||
        !(traits & CHANNEL_PRIVATE))
        return;
    if (traits & CHANNEL_PRESENCE) {
        struct scene scene = {.caller = &v->caller, .now_ms = clock_wall_ms()};
        struct decision d = policy_decide(&v->gateway->policy, &v->caller, name, POLICY_JOIN);
        gateway_add_member(v->gateway, d.rule, &scene, true, &data);
    }
    struct span socket = span_of(id, session_id(s, session_at(s, f->session), id));
    struct span parts[] = {socket, span_str(":"), name, span_str(":"), buf_span(&data)};
    sign_hex(&key->sign, parts, data.len ? 5 : 3, hex);
    buf_addf(out, ",\"auth\":\"%s:%.*s\"", key->key, SIGN_HEX, hex);
    if (data.len) {
        buf_add_str(out, ",\"channel_data\":");
        json_quote(out, buf_span(&data));
    }
    buf_fini(&data);
}

/* Who comes back says where it was by the last id: in a header of the browser's, or in a
 * parameter.  Of an id that is none of ours nothing is known. */
static void read_places(const struct http_head *head, struct viewer *v)
{
    struct buf given = {0};
    struct span names = v->names;
    struct span name;
    size_t n = 0;
    while (next_name(&names, &name))
        n++;
    v->has_places = n <= PLACES_MAX;
    struct span id = head->last_event_id;
    if (!id.len && api_param(head->query, "lastEventId", &given))
        id = buf_span(&given);
    bool is_ours = !v->has_places || positions_read(id, v->from, n);
    names = v->names;
    for (size_t i = 0; !is_ours && next_name(&names, &name); i++)
        v->from[i] = app_history(v->app, name) ? position_unknown() : (struct position){0};
    buf_fini(&given);
}

/* The stream counts in a channel with history, and in one of which it knows a position. */
static bool is_counted(const struct viewer *v, size_t i, struct span name)
{
    return v->has_places && (v->from[i].epoch[0] || app_history(v->app, name));
}

/* An id of several positions, or of one that is not the first, is the stream's own. */
static void use_places(struct serve *s, const struct fallback *f, const struct viewer *v)
{
    struct span list[PLACES_MAX];
    struct span names = v->names;
    uint32_t n = 0;
    bool is_own = false;
    while (v->has_places && next_name(&names, &list[n])) {
        is_own |= n && is_counted(v, n, list[n]);
        n++;
    }
    if (is_own)
        hub_use_bookmark(s->hub, f->session, list, v->from, n);
}

static void add_recovery(const struct position *from, struct buf *out)
{
    buf_add_str(out, ",\"recovery\":{");
    if (from->epoch[0])
        buf_addf(out, "\"epoch\":\"%s\",\"offset\":\"%llu\"", from->epoch,
            (unsigned long long)from->offset);
    buf_add_char(out, '}');
}

/* As if the client had sent its subscriptions. */
static void subscribe(struct serve *s, struct fallback *f, const struct viewer *v)
{
    struct buf list = {0};
    struct buf message = {0};
    struct span names = v->names;
    struct span name;
    use_places(s, f, v);
    buf_add_char(&list, '[');
    for (size_t i = 0; next_name(&names, &name); i++) {
        message.len = 0;
        buf_add_str(&message, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":");
        json_quote(&message, name);
        add_authorisation(s, f, v, name, &message);
        if (is_counted(v, i, name))
            add_recovery(&v->from[i], &message);
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

/* Leeway is for clocks that differ: who came by it, keeps it. */
static int64_t expiry_of(const struct viewer *v)
{
    if (!v->caller.is_known || v->caller.expires_s > clock_wall_ms() / 1000)
        return v->caller.expires_s;
    return v->caller.expires_s + v->gateway->jwt.leeway_s;
}

static void open_stream(
    struct serve *s, struct conn *c, const struct session_claim *claim, const struct viewer *v)
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
    f->until_s = expiry_of(v);
    fallback_open_session(s, f, claim, span_of(first, n));
    if (f->session != SLAB_NONE)
        subscribe(s, f, v);
}

void events_request(struct serve *s, struct conn *c, const struct http_head *head, struct span key)
{
    struct session_claim claim = {.transport = TRANSPORT_EVENTS, .is_tls = c->flags & CONN_TLS};
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
    enum close_reason why = route_claim(s, head, key, &claim);
    if (why != CLOSE_REASONS) {
        struct buf sentence = {0};
        session_refuse(s, &claim, why, &sentence);
        answer(s, c, status_of(why), "", buf_span(&sentence), "");
        buf_fini(&sentence);
    } else {
        struct viewer v = {.app = claim.app, .names = buf_span(&names)};
        read_places(head, &v);
        if (check_token(s, c, head, &v) && check_names(s, c, &v))
            open_stream(s, c, &claim, &v);
        else
            app_disconnect(claim.app->slot);
        caller_fini(&v.caller);
    }
    buf_fini(&names);
}
