/* http.c - a Channels client over HTTP: streaming or polling, lines in, sends out. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A browser's client asks anew after so many characters, at the end of a line. */
enum { ROTATE_CHARS = 262144 };

void http_ask(struct load *l, struct conn *c)
{
    char head[512];
    bool is_poll = l->opt.transport == TRANSPORT_POLLING;
    int n = snprintf(head, sizeof head,
        "POST /pusher/app/%s/%u/%08x/%s?protocol=7&client=js&version=8.6.0&t=1&n=0 HTTP/1.1\r\n"
        "Host: %s:%u\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        l->opt.key, c->index % 1000, (unsigned)(l->salt + c->index),
        is_poll ? "xhr" : "xhr_streaming", l->opt.host, l->opt.port);
    if (c->state == CONN_CONNECTING)
        c->state = CONN_UPGRADING;
    c->in_head = true;
    c->chars = 0;
    conn_send(l, c, head, (size_t)n);
}

/* All sends go over one connection, one after the other: they are rare. */
static void post(struct load *l, const char *bytes, size_t len)
{
    char answer[1024];
    if (l->send_fd < 0) {
        l->send_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (l->send_fd < 0 ||
            connect(l->send_fd, (const struct sockaddr *)&l->target, sizeof l->target))
            die("connect: %s", strerror(errno));
    }
    if (send(l->send_fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("a send was cut off");
    size_t have = 0;
    while (have < sizeof answer - 1) {
        ssize_t n = recv(l->send_fd, answer + have, sizeof answer - 1 - have, 0);
        if (n <= 0)
            die("a send was not answered");
        have += (size_t)n;
        answer[have] = 0;
        if (strstr(answer, "\r\n\r\n"))
            break;
    }
    if (strncmp(answer, "HTTP/1.1 204", 12) != 0)
        note_error(l, answer, have);
}

bool http_send_text(struct load *l, struct conn *c, const char *text, size_t len)
{
    static char out[1 << 17], body[1 << 16];
    size_t n = 0;
    body[n++] = '[';
    if (len)
        body[n++] = '"';
    for (size_t i = 0; i < len && n < sizeof body - 8; i++) {
        if (text[i] == '"' || text[i] == '\\')
            body[n++] = '\\';
        body[n++] = text[i];
    }
    if (len)
        body[n++] = '"';
    body[n++] = ']';
    int head = snprintf(out, sizeof out,
        "POST /pusher/app/%s/%u/%08x/xhr_send?t=1 HTTP/1.1\r\nHost: %s:%u\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        l->opt.key, c->index % 1000, (unsigned)(l->salt + c->index), l->opt.host, l->opt.port, n);
    memcpy(out + head, body, n);
    post(l, out, (size_t)head + n);
    return true;
}

/* The text of one string of a line; returns where it ends, behind its quote. */
static const char *unescape(const char *p, const char *end, char *out, size_t *len)
{
    size_t n = 0;
    while (p < end && *p != '"') {
        if (*p == '\\')
            p++; // of quotes and backslashes only: the load sends nothing else
        out[n++] = *p++;
    }
    *len = n;
    return p + 1;
}

static void on_line(struct load *l, struct conn *c, const char *line, size_t len, uint64_t now)
{
    const char *end = line + len;
    const char *p = line + 1;
    size_t n;
    if (!len || line[0] == 'o') {
        if (len)
            c->state = CONN_GREETING;
    } else if (line[0] == 'c') {
        note_error(l, line, len);
        conn_kill(l, c, "a close line");
    } else if (line[0] == 'a') {
        while (c->state != CONN_DEAD && (p = memchr(p, '"', (size_t)(end - p)))) {
            p = unescape(p + 1, end, l->text, &n);
            client_text(l, c, l->text, n, now);
        }
    } else if (line[0] == 'h' && len < 2048 && l->opt.transport == TRANSPORT_STREAMING) {
        http_send_text(l, c, NULL, 0);
    }
}

static void on_lines(struct load *l, struct conn *c, const char *body, size_t len)
{
    uint64_t now = now_ns();
    const char *end = body + len;
    c->chars += (uint32_t)len;
    while (body < end && c->state != CONN_DEAD) {
        const char *newline = memchr(body, '\n', (size_t)(end - body));
        if (!newline) {
            l->tally.corrupt++; // the server puts whole lines into each chunk and answer
            return;
        }
        on_line(l, c, body, (size_t)(newline - body), now);
        body = newline + 1;
    }
}

/* A stream that has become too long is left, as a browser's client does. */
static void rotate(struct load *l, struct conn *c)
{
    (void)close(c->fd);
    c->is_asking = true;
    c->tail_len = 0;
    conn_open(l, c);
}

static size_t read_head(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (memcmp(bytes, "HTTP/1.1 200", 12) != 0) {
        note_error(l, bytes, len);
        conn_kill(l, c, "a receive was refused");
        return 0;
    }
    const char *length = memmem(bytes, (size_t)(end - bytes), "Content-Length: ", 16);
    c->body_len = length ? (uint32_t)strtoul(length + 16, NULL, 10) : 0;
    c->in_head = false;
    return (size_t)(end + 4 - bytes);
}

/* One chunk, framing included; 0 while it is not whole. */
static size_t read_chunk(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    const char *newline = memchr(bytes, '\n', len);
    if (!newline)
        return 0;
    size_t body = strtoul(bytes, NULL, 16);
    size_t head = (size_t)(newline + 1 - bytes);
    if (len < head + body + 2)
        return 0;
    if (!body) {
        conn_kill(l, c, "the server ended a stream");
        return 0;
    }
    on_lines(l, c, newline + 1, body);
    return head + body + 2;
}

static size_t read_poll(struct load *l, struct conn *c, const char *bytes, size_t len)
{
    if (len < c->body_len)
        return 0;
    on_lines(l, c, bytes, c->body_len);
    if (c->state != CONN_DEAD)
        http_ask(l, c);
    return c->body_len;
}

size_t http_read(struct load *l, struct conn *c, char *bytes, size_t len)
{
    size_t used = 0;
    while (c->state != CONN_DEAD && used < len) {
        size_t n;
        if (c->in_head)
            n = read_head(l, c, bytes + used, len - used);
        else if (l->opt.transport == TRANSPORT_POLLING)
            n = read_poll(l, c, bytes + used, len - used);
        else
            n = read_chunk(l, c, bytes + used, len - used);
        if (!n)
            break;
        used += n;
        if (c->chars > ROTATE_CHARS && used == len && c->state == CONN_READY) {
            rotate(l, c);
            return len;
        }
    }
    return used;
}
