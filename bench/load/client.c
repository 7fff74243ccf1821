/* client.c - one Channels client: upgrade, subscriptions, frames in, client events out. */
#include "load.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The key of RFC 6455's own example: what must be answered is known without computing it. */
#define WS_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static bool has(const char *text, size_t len, const char *word)
{
    return memmem(text, len, word, strlen(word)) != NULL;
}

void client_upgrade(struct load *l, struct conn *c)
{
    char head[512];
    int n = snprintf(head, sizeof head,
        "GET /app/%s?protocol=7&client=js&version=8.4.0&flash=false HTTP/1.1\r\n"
        "Host: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Origin: http://127.0.0.1\r\nSec-WebSocket-Key: " WS_KEY "\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n",
        l->opt.key, l->opt.host, l->opt.port);
    c->state = CONN_UPGRADING;
    conn_send(l, c, head, (size_t)n);
}

static bool send_frame(struct load *l, struct conn *c, unsigned op, const char *body, size_t len)
{
    static char frame[1 << 17];
    static const unsigned char mask[4] = {0x5a, 0xc3, 0x19, 0x7e};
    size_t at = 2;
    if (len > 65535)
        die("a client frame of %zu bytes", len);
    frame[0] = (char)(0x80 | op);
    frame[1] = (char)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        frame[at++] = (char)(len >> 8);
        frame[at++] = (char)len;
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        frame[at + i] = (char)(body[i] ^ mask[i & 3]);
    return conn_send(l, c, frame, at + len);
}

bool client_send_text(struct load *l, struct conn *c, const char *text, size_t len)
{
    if (l->opt.transport != TRANSPORT_WS)
        return http_send_text(l, c, text, len);
    return send_frame(l, c, 1, text, len);
}

static void name_channel(const struct options *o, uint32_t i, char out[64])
{
    const char *prefix = "";
    if (o->mode == LOAD_PRESENCE)
        prefix = "presence-";
    else if (o->mode == LOAD_CLIENTEVENTS || o->mode == LOAD_IDLE)
        prefix = "private-";
    (void)snprintf(out, 64, "%sbench-%u", prefix, i);
}

/* member is the presence channel's user id, or NULL. */
static void subscribe(struct load *l, struct conn *c, uint32_t channel, const char *member)
{
    char name[64], sign[256], signature[65], text[640], data[96] = "", extra[128] = "";
    name_channel(&l->opt, channel, name);
    if (member) {
        (void)snprintf(data, sizeof data, ":{\"user_id\":\"%s\"}", member);
        (void)snprintf(
            extra, sizeof extra, ",\"channel_data\":\"{\\\"user_id\\\":\\\"%s\\\"}\"", member);
    }
    int n = snprintf(sign, sizeof sign, "%s:%s%s", c->socket_id, name, data);
    hmac_hex(&l->opt, sign, (size_t)n, signature);
    bool open = name[0] == 'b';
    n = snprintf(text, sizeof text,
        "{\"event\":\"pusher:subscribe\",\"data\":{\"auth\":\"%s%s%s\"%s,\"channel\":\"%s\"}}",
        open ? "" : l->opt.key, open ? "" : ":", open ? "" : signature, extra, name);
    client_send_text(l, c, text, (size_t)n);
}

static void join_all(struct load *l, struct conn *c)
{
    const struct options *o = &l->opt;
    char member[32];
    c->state = CONN_JOINING;
    c->to_join = 1;
    if (c->kind == CONN_CHURNER || (o->mode == LOAD_IDLE && !o->own_channel)) {
        conn_ready(l, c);
    } else if (o->mode == LOAD_IDLE) {
        subscribe(l, c, c->index, NULL);
    } else if (o->mode == LOAD_CLIENTEVENTS) {
        subscribe(l, c, c->index / o->group, NULL);
    } else if (o->mode == LOAD_PRESENCE) {
        (void)snprintf(member, sizeof member, "o%u", c->index);
        subscribe(l, c, 0, member);
    } else if (o->mode == LOAD_MANYCHAN) {
        c->to_join = c->n_streams;
        for (uint32_t i = 0; i < c->n_streams && c->state != CONN_DEAD; i++)
            subscribe(l, c, (c->base + i) % o->channels, NULL);
    } else {
        subscribe(l, c, 0, NULL);
    }
}

static void on_established(struct load *l, struct conn *c, const char *text, size_t len)
{
    const char *end = text + len, *s = memmem(text, len, "socket_id", 9);
    size_t n = 0;
    while (s && s < end && !isdigit((unsigned char)*s))
        s++;
    while (s && s < end && n < sizeof c->socket_id - 1 && (isdigit((unsigned char)*s) || *s == '.'))
        c->socket_id[n++] = *s++;
    c->socket_id[n] = 0;
    if (n)
        join_all(l, c);
    else
        conn_kill(l, c, "connection_established without a socket_id");
}

/* An observer must see each churner come and go in turn; observers' own comings are not
 * counted, because how many of them one sees depends on when it came itself. */
static void on_member(struct load *l, struct conn *c, const char *text, size_t len)
{
    bool added = has(text, len, "member_added");
    const char *end = text + len, *s = memmem(text, len, "user_id", 7);
    if (c->kind == CONN_CHURNER)
        return;
    for (s = s ? s + 7 : end; s < end && !isalpha((unsigned char)*s); s++)
        ;
    if (s < end && *s == 'o')
        return;
    uint32_t k = 0;
    for (s++; s < end && isdigit((unsigned char)*s); s++)
        k = k * 10 + (uint32_t)(*s - '0');
    if (s >= end || k >= c->n_streams) {
        l->tally.corrupt++;
        return;
    }
    if (c->next_seq[k] == (added ? 1U : 0U))
        l->tally.repeated++;
    c->next_seq[k] = added;
    l->tally.delivered++;
    l->tally.bytes += len;
}

static void on_control(struct load *l, struct conn *c, const char *text, size_t len)
{
    static const char pong[] = "{\"event\":\"pusher:pong\",\"data\":{}}";
    if (has(text, len, "pusher:connection_established")) {
        on_established(l, c, text, len);
    } else if (has(text, len, "pusher_internal:subscription_succeeded")) {
        c->busy = false;
        if (c->kind == CONN_CLIENT && c->state == CONN_JOINING && --c->to_join == 0)
            conn_ready(l, c);
    } else if (has(text, len, "pusher_internal:member_")) {
        on_member(l, c, text, len);
    } else if (has(text, len, "pusher:ping")) {
        client_send_text(l, c, pong, sizeof pong - 1);
    } else if (has(text, len, "pusher:error")) {
        l->tally.refused++;
        note_error(l, text, len);
    } else if (!has(text, len, "pusher")) {
        l->tally.corrupt++;
        note_error(l, text, len);
    }
}

/* Returns the bytes of the answer's head, 0 while it is incomplete. */
static size_t read_upgrade(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 101", 12) != 0 || !has(bytes, len, WS_ACCEPT)) {
        note_error(l, bytes, len);
        conn_kill(l, c, "the upgrade was refused");
        return 0;
    }
    c->state = CONN_GREETING;
    return (size_t)(end + 4 - bytes);
}

/* Reads a frame's head: its size with the head, 0 while incomplete. */
static size_t frame_size(const unsigned char *f, size_t len, size_t *head)
{
    if (len < 2)
        return 0;
    uint64_t n = f[1] & 0x7fU;
    *head = n < 126 ? 2 : n == 126 ? 4 : 10;
    if (len < *head)
        return 0;
    if (n >= 126) {
        n = 0;
        for (size_t i = 2; i < *head; i++)
            n = n << 8 | f[i];
    }
    return n > LOAD_SCRATCH ? SIZE_MAX : *head + (size_t)n;
}

static void on_frame(
    struct load *l, struct conn *c, const unsigned char *f, size_t head, size_t size)
{
    const char *body = (const char *)f + head;
    size_t len = size - head;
    if (f[1] & 0x80U) {
        l->tally.corrupt++;
        conn_kill(l, c, "a masked frame from the server");
    } else if (f[0] == 0x89) {
        send_frame(l, c, 0xa, body, len);
    } else if (f[0] == 0x88) {
        note_error(l, len > 2 ? body + 2 : "close frame", len > 2 ? len - 2 : 11);
        conn_kill(l, c, "a close frame");
    } else if (f[0] != 0x8a) {
        l->tally.corrupt++;
        conn_kill(l, c, "a frame of an unexpected kind");
    }
}

void client_text(struct load *l, struct conn *c, const char *text, size_t len, uint64_t now)
{
    if (!check_delivery(l, c, text, len, now))
        on_control(l, c, text, len);
}

size_t client_read(struct load *l, struct conn *c, char *bytes, size_t len)
{
    size_t used = 0, head = 0;
    if (c->state == CONN_UPGRADING) {
        used = read_upgrade(l, c, bytes, len);
        if (!used)
            return 0;
    }
    uint64_t now = now_ns();
    while (c->state != CONN_DEAD) {
        const unsigned char *f = (const unsigned char *)bytes + used;
        size_t size = frame_size(f, len - used, &head);
        if (!size || (size != SIZE_MAX && size > len - used))
            break;
        if (size == SIZE_MAX) {
            conn_kill(l, c, "a frame larger than the read buffer");
            break;
        }
        const char *body = bytes + used + head;
        if (f[0] != 0x81 || f[1] & 0x80U)
            on_frame(l, c, f, head, size);
        else
            client_text(l, c, body, size - head, now);
        used += size;
    }
    return used;
}

void client_event(struct load *l, struct conn *c, uint64_t due)
{
    const struct options *o = &l->opt;
    char name[64];
    uint32_t group = c->index / o->group;
    struct stamp s = {.stream = c->index % o->group, .seq = c->own_seq++, .time = due};
    s.id = check_register(l, l->n_hearers[group] - 1);
    name_channel(o, group, name);
    int n = sprintf(l->out, "{\"event\":\"client-ev\",\"channel\":\"%s\",\"data\":\"", name);
    payload_write(l->out + n, o->size, &s);
    memcpy(l->out + n + o->size, "\"}", 2);
    client_send_text(l, c, l->out, (size_t)n + o->size + 2);
}

bool churner_toggle(struct load *l)
{
    static const char leave[] =
        "{\"event\":\"pusher:unsubscribe\",\"data\":{\"channel\":\"presence-bench-0\"}}";
    for (uint32_t tries = 0; tries < l->opt.churners; tries++) {
        uint32_t k = l->next_sender++ % l->opt.churners;
        struct conn *c = &l->conns[l->first_churner + k];
        if (c->state != CONN_READY || c->busy)
            continue;
        l->tally.published++;
        l->tally.expected += l->n_hearers[0];
        c->joined = !c->joined;
        if (!c->joined)
            return client_send_text(l, c, leave, sizeof leave - 1);
        char member[32];
        (void)snprintf(member, sizeof member, "c%u", k);
        c->busy = true;
        subscribe(l, c, 0, member);
        return true;
    }
    return false;
}
