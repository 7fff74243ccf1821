/* api_auth.h - is this API request signed by the app?  (pusher-protocol 5.2)  Private to serve. */
#ifndef SERVE_API_AUTH_H
#define SERVE_API_AUTH_H

#include "base/buf.h"
#include "base/err.h"
#include "hub/app.h"
#include "wire/http.h"

struct api_auth {
    const struct app *app;
    struct span method;
    struct span path;      // behind the prefix, undecoded
    struct span full_path; // as requested
    struct span query;
    struct span body;
    uint32_t window_s; // 0 = any timestamp
    int64_t now_s;
};

/* False with err filled: its status and text are the answer.  scratch is overwritten. */
bool api_auth_check(const struct api_auth *a, struct buf *scratch, struct err *err) MUST_CHECK;

/* The first query parameter of that name, decoded into out; false when there is none. */
bool api_param(struct span query, const char *name, struct buf *out);

#endif
