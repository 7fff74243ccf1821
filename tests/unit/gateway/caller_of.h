/* caller_of.h - callers for the tests of the gateway. */
#ifndef CALLER_OF_H
#define CALLER_OF_H

#include "base/base.h"

#include "gateway/jwt.h"
#include "test.h"

/* A known caller with these claims (JSON, good for the test's life). */
static inline struct caller caller_of(const char *id, const char *role, const char *claims)
{
    struct caller c = {
        .is_known = true, .id = span_str(id), .name = span_str(id), .role = span_str(role)};
    bool ok = json_parse(span_str(claims), &c.claims);
    ENSURE(ok);
    return c;
}

#endif
