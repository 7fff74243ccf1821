/* posted.h - a client of the HTTP transports: what it posts, what it receives. */
#ifndef POSTED_H
#define POSTED_H

#include "served.h"
#include "wire/chunk.h"

#define SUBSCRIBE(channel)                                                                         \
    "\"{\\\"event\\\":\\\"pusher:subscribe\\\",\\\"data\\\":{\\\"channel\\\":\\\"" channel         \
    "\\\"}}\""
#define SUCCEEDED(channel)                                                                         \
    "a[\"{\\\"event\\\":\\\"pusher_internal:subscription_succeeded\\\",\\\"channel\\\":"           \
    "\\\"" channel "\\\""
#define ESTABLISHED "a[\"{\\\"event\\\":\\\"pusher:connection_established\\\""

/* A request with a body; nothing is read. */
static inline void post(struct peer *p, const char *path, const char *body)
{
    struct buf all = {0};
    buf_addf(&all, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", path,
        strlen(body), body);
    peer_send(p, all.p, all.len);
    buf_fini(&all);
}

/* A request that is answered by a short answer; true when its status and its body are those. */
static inline bool answers(
    struct peer *p, const char *path, const char *body, const char *status, const char *text)
{
    char line[32];
    forget(p);
    post(p, path, body);
    snprintf(line, sizeof line, "HTTP/1.1 %s", status);
    bool is_good = gets(p, "\r\n\r\n") && gets(p, text);
    return is_good && strncmp(p->got.p, line, strlen(line)) == 0 &&
           strcmp(strstr(p->got.p, "\r\n\r\n") + 4, text) == 0;
}

/* The bodies of the chunks of the answer that p receives; until the next call. */
static inline const char *lines(const struct peer *p)
{
    static struct buf bodies;
    struct chunk_walk walk = {0};
    struct span run;
    bool is_body;
    bodies.len = 0;
    const char *start = p->got.len ? strstr(p->got.p, "\r\n\r\n") : NULL;
    if (start) {
        struct span in = span_from(buf_span(&p->got), (size_t)(start + 4 - p->got.p));
        while (chunk_next(&walk, &in, &run, &is_body))
            if (is_body)
                buf_add_span(&bodies, run);
    }
    buf_add_char(&bodies, '\0');
    return bodies.p;
}

/* Runs the workers until the lines of a stream have text. */
static inline bool streams(struct peer *p, const char *text)
{
    uint64_t until_us = clock_us() + PAIR_PATIENCE_MS * 1000ULL;
    do {
        turn();
        peer_read(p);
        if (strstr(lines(p), text))
            return true;
        wait_a_little(p);
    } while (!p->has_ended && clock_us() < until_us);
    printf("    the peer got '%s'\n", p->got.len ? p->got.p : "");
    return false;
}

/* A new session, received by p as a stream. */
static inline void open_stream(struct peer *p, const char *path)
{
    peer_open(p, 0);
    post(p, path, "");
    CHECK(streams(p, ESTABLISHED));
}

static inline bool comes_before(const char *text, const char *first, const char *second)
{
    const char *a = strstr(text, first);
    const char *b = strstr(text, second);
    return a && b && a < b;
}

#endif
