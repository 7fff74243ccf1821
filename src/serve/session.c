/* A Channels connection from its opening to its end (pusher-protocol 1). */
#include "base/base.h"

#include "serve/session.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "serve/bridge.h"
#include "serve/conn.h"
#include "serve/fallback.h"
#include "serve/notes.h"
#include "wire/pusher.h"
#include "wire/socket_id.h"

enum { SHOWN_KEY_BYTES = 40 }; // the sentence has to fit into a close frame

static const struct {
    const char *word;
    uint16_t code;
    enum log_level level;
    const char *sentence;
} reasons[CLOSE_REASONS] = {
#define CLOSE(name, code, level, sentence) {#name, code, level, sentence},
#include "serve/close_reasons.def"
#undef CLOSE
};

const char *close_sentence(enum close_reason why)
{
    return reasons[why].sentence;
}

uint16_t close_code(enum close_reason why)
{
    return reasons[why].code;
}

const char *close_word(enum close_reason why)
{
    return reasons[why].word;
}

enum log_level close_level(enum close_reason why)
{
    return reasons[why].level;
}

const char *transport_word(enum transport transport)
{
    static const char *const words[TRANSPORTS] = {[TRANSPORT_WS] = "websocket",
        [TRANSPORT_STREAMING] = "xhr_streaming",
        [TRANSPORT_POLLING] = "xhr_polling",
        [TRANSPORT_SOCKJS] = "sockjs",
        [TRANSPORT_EVENTS] = "events",
        [TRANSPORT_LEGACY] = "legacy"};
    return words[transport];
}

const struct app *session_app(const struct serve *s, const struct session *session)
{
    return config_app_by_slot(s->config, session->app);
}

static struct session_ref ref_of(const struct serve *s, const struct session *session)
{
    return (struct session_ref){
        .slot = session->index, .nonce = session->nonce, .worker = (uint16_t)s->worker};
}

size_t session_id(const struct serve *s, const struct session *session, char *out)
{
    return socket_id_write(ref_of(s, session), out);
}

bool session_is_waiting(const struct serve *s, const struct session *session)
{
    /* Who does not take what we send is not listened to either. */
    return (session->flags & SESSION_WAITING) ||
           hub_pending_bytes(s->hub, session->index) > s->config->limits.outbox_soft_bytes;
}

void session_heard(struct serve *s, struct session *session)
{
    session->heard_ms = s->client_ms;
    session->flags &= (uint8_t)~SESSION_PINGED;
}

/* --- opening ---------------------------------------------------------------------------------- */

enum close_reason session_check(const struct session_claim *claim)
{
    const struct app *app = claim->app;
    if (claim->protocol != -1 && (claim->protocol < 5 || claim->protocol > 7))
        return CLOSE_BAD_PROTOCOL;
    if (!app)
        return CLOSE_UNKNOWN_KEY;
    if (!app->enabled)
        return CLOSE_APP_DISABLED;
    if (app->tls_only && !claim->is_tls)
        return CLOSE_TLS_ONLY;
    /* Clients that are not browsers send no Origin: it protects browsers' users only. */
    if (claim->origin.p && !app_allows_origin(app, claim->origin))
        return CLOSE_ORIGIN_REFUSED;
    return app_connect(app) ? CLOSE_REASONS : CLOSE_OVER_QUOTA;
}

void session_refuse(
    struct serve *s, const struct session_claim *claim, enum close_reason why, struct buf *sentence)
{
    struct span key = claim->key;
    size_t from = sentence->len;
    if (why == CLOSE_UNKNOWN_KEY && key.len && key.len <= SHOWN_KEY_BYTES && utf8_is_valid(key))
        buf_addf(sentence,
            "App key %.*s not in this cluster. Did you forget to specify the cluster?", SPAN(key));
    else
        buf_add_str(sentence, close_sentence(why));
    counter_add(&s->stats.closes[why], 1);
    if (claim->app)
        app_count(&app_usage(claim->app->slot)->refused, 1);
    log_event(close_level(why), "refused", "reason=%s code=%d transport=%s text=\"%.*s\"",
        close_word(why), close_code(why), transport_word(claim->transport),
        SPAN(span_from(buf_span(sentence), from)));
}

struct session *session_open(struct serve *s, const struct session_opts *opts, struct span head)
{
    uint32_t nonce = rand_u32();
    uint32_t index = hub_open(s->hub, opts->wire, opts->audience, nonce);
    ENSURE(index < 1U << 24); // a socket_id has room for as many
    struct session *session = slab_claim(&s->sessions, index);
    *session = (struct session){.index = index,
        .at = opts->at,
        .nonce = nonce,
        .app = opts->app,
        .opened_ms = s->client_ms,
        .heard_ms = s->client_ms,
        .state = SESSION_OPENING,
        .flags = (opts->is_tls ? SESSION_TLS : 0) | (opts->is_fallback ? SESSION_FALLBACK : 0),
        .protocol = opts->protocol,
        .transport = (uint8_t)opts->transport};
    char id[SOCKET_ID_MAX];
    struct buf *out = &s->scratch;
    out->len = 0;
    pusher_add_established(
        out, span_of(id, session_id(s, session, id)), s->config->limits.activity_timeout_s);
    if (head.len)
        hub_send_raw(s->hub, index, head);
    if (opts->bridge)
        session->bridge = opts->bridge;
    else
        hub_send(s->hub, index, buf_span(out));
    session->state = SESSION_OPEN;
    serve_count(s, COUNTER_SESSIONS_OPENED, 1);
    counter_add(&s->stats.sessions[opts->transport], 1);
    return session;
}

/* --- closing ------------------------------------------------------------------------------------ */

static void log_close(
    struct serve *s, const struct session *session, enum close_reason why, uint16_t code)
{
    const struct app *app = session_app(s, session);
    char id[SOCKET_ID_MAX];
    int n = (int)session_id(s, session, id);
    if (log_is_on(close_level(why)))
        log_event(close_level(why), "closed",
            "reason=%s code=%d app=%s socket_id=%.*s pending_bytes=%u subscriptions=%u",
            close_word(why), code, app ? app->id : "-", n, id,
            hub_pending_bytes(s->hub, session->index), hub_n_subscriptions(s->hub, session->index));
}

static bool is_silent(enum close_reason why)
{
    return why == CLOSE_PEER_GONE || why == CLOSE_BROKEN;
}

static bool is_slow(enum close_reason why)
{
    return why == CLOSE_SLOW_READER || why == CLOSE_STALLED_READER;
}

/* The last words: what was pending, the reason, the close frame. */
static void say_goodbye(struct serve *s, struct conn *c, const struct session *session,
    enum close_reason why, uint16_t code)
{
    char payload[WS_CONTROL_MAX];
    const char *sentence = close_sentence(why);
    size_t n = strlen(sentence);
    if (is_slow(why)) {
        /* What it has not begun to get it will not get; it must see where it ended. */
        uint32_t before = c->out.bytes;
        outbox_cut(&s->outboxes, &c->out, stream_committed(&c->stream));
        serve_count(s, COUNTER_ABANDONED_BYTES, before - c->out.bytes);
        c->flags |= CONN_LINGER;
    }
    if (session->protocol < 6 && code >= 4000) {
        struct buf *out = &s->scratch;
        out->len = 0;
        pusher_add_error(out, code, span_str(sentence));
        conn_send_frame(s, c, WS_TEXT, buf_span(out));
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, sentence, n);
    conn_send_frame(s, c, WS_CLOSE, span_of(payload, why == CLOSE_CLIENT_CLOSED ? 2 : n + 2));
    conn_finish(s, c);
}

void session_close(struct serve *s, struct session *session, enum close_reason why, uint16_t code)
{
    bool is_fallback = session->flags & SESSION_FALLBACK;
    struct conn *c = is_fallback || session->at == SLAB_NONE ? NULL : conn_at(s, session->at);
    bool is_dead = !c || c->state == CONN_DEAD;
    struct session gone = *session;
    struct outbox rest = {0};
    if (!code)
        code = close_code(why);
    session->state = SESSION_CLOSING;
    counter_add(&s->stats.closes[why], 1);
    log_close(s, session, why, code);
    if (session->bridge && session->transport == TRANSPORT_LEGACY)
        bridge_forget(s, session);
    hub_close(s->hub, session->index, is_fallback ? &rest : is_dead ? NULL : &c->out);
    notes_forget(s, session->index);
    free(session->rate);
    session->state = SESSION_DEAD;
    slab_unclaim(&s->sessions, session->index);
    counter_sub(&s->stats.sessions[gone.transport], 1);
    app_disconnect(gone.app);
    if (is_fallback)
        fallback_end(s, fallback_at(s, gone.at),
            &(struct fallback_end){.why = why, .code = code, .rest = &rest});
    if (!c)
        return;
    c->session = SLAB_NONE;
    if (is_silent(why) && !is_dead)
        conn_kill(s, c);
    else if (!is_dead)
        say_goodbye(s, c, &gone, why, code);
}

void session_resume(struct serve *s, struct session *session)
{
    if (session->transport == TRANSPORT_LEGACY)
        bridge_resume(s, session);
    else if (session->flags & SESSION_FALLBACK)
        fallback_resume(s, fallback_at(s, session->at));
    else if (session->at != SLAB_NONE)
        conn_resume(s, conn_at(s, session->at));
}

void session_pong(struct serve *s, struct session *session, struct span payload)
{
    char frame[WS_HEAD_MAX + WS_CONTROL_MAX];
    if (hub_pending_bytes(s->hub, session->index) > SESSION_PONG_PENDING)
        return;
    size_t head = ws_head(frame, WS_PONG, payload.len);
    if (payload.len)
        memcpy(frame + head, payload.p, payload.len);
    hub_send_raw(s->hub, session->index, span_of(frame, head + payload.len));
}

/* --- clocks ------------------------------------------------------------------------------------------------------------ */

void session_check_silence(struct serve *s, struct session *session)
{
    const struct config_limits *limits = &s->config->limits;
    if (session->flags & SESSION_FALLBACK) {
        if (fallback_proves_life(fallback_at(s, session->at)) &&
            s->client_ms - session->heard_ms >= limits->idle_ms + limits->pong_ms)
            session_close(s, session, CLOSE_PONG_TIMEOUT, 0);
        return;
    }
    if (session->flags & SESSION_PINGED) {
        if (s->client_ms - session->pinged_ms >= limits->pong_ms)
            session_close(s, session, CLOSE_PONG_TIMEOUT, 0);
    } else if (s->client_ms - session->heard_ms >= limits->idle_ms) {
        /* A control frame: every client's network stack answers it (1.5). */
        char frame[WS_HEAD_MAX];
        session->flags |= SESSION_PINGED;
        session->pinged_ms = s->client_ms;
        hub_send_raw(s->hub, session->index, span_of(frame, ws_head(frame, WS_PING, 0)));
        serve_count(s, COUNTER_PINGS, 1);
    }
}

void session_sweep(struct serve *s, struct session *session)
{
    const struct app *app = session_app(s, session);
    if (!app)
        session_close(s, session, CLOSE_UNKNOWN_KEY, 0);
    else if (!app->enabled)
        session_close(s, session, CLOSE_APP_DISABLED, 0);
    else if (app->auth_required && !hub_is_authorised(s->hub, session->index) &&
             s->client_ms - session->opened_ms >= app->auth_timeout_s * 1000)
        session_close(s, session, CLOSE_UNAUTHORIZED, 0);
    else if (session->transport == TRANSPORT_LEGACY)
        bridge_sweep(s, session);
    else
        session_check_silence(s, session);
}
