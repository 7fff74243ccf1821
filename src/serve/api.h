/* api.h - the signed HTTP API under /apps/ (pusher-protocol 5).  Private to serve. */
#ifndef SERVE_API_H
#define SERVE_API_H

#include "serve/conn.h"

/* path is the request's path behind the prefix and begins with /apps/. */
void api_request(struct serve *s, struct conn *c, const struct http_head *head, struct span path,
    struct span body);

/* The body limit of a path under /apps/. */
size_t api_body_limit(const struct serve *s, struct span path);

/* POST /demo/publish: one event on the demo's channel. */
void api_demo(struct serve *s, struct conn *c, const struct http_head *head, struct span body);

/* --- history; api_history.c --- */

struct history_target {
    struct span channel; // valid
    unsigned traits;
};

/* The parameters of a question; false with a 400. */
bool history_query_read(struct span query, struct history_query *q, struct err *err) MUST_CHECK;

void api_get_history(struct serve *s, struct conn *c, const struct app *app, struct span query,
    const struct history_target *of);
void api_purge_history(
    struct serve *s, struct conn *c, const struct app *app, const struct history_target *of);

#endif
