/* What clients say of where they were: the member "recovery", the id of an event stream, and the
 * parameters of a question for history.  What is read is within its limits, and written again it
 * reads the same. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "hub/hub.h"
#include "hub/page.h"
#include "serve/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct position *a, const struct position *b)
{
    return a->offset == b->offset && strcmp(a->epoch, b->epoch) == 0;
}

/* At most so long, and nothing in it that means something in JSON, in a header or in a list. */
static void check_epoch(const struct position *at)
{
    ENSURE(memchr(at->epoch, '\0', sizeof at->epoch));
    for (const char *c = at->epoch; *c; c++)
        ENSURE((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
               (c == at->epoch && strcmp(c, "?") == 0));
}

static void check_recovery(struct span text)
{
    struct json value;
    struct recovery r;
    struct buf scratch = {0};
    (void)buf_room(&scratch, text.len * 4 + 64);
    if (json_parse(text, &value) && recovery_read(&value, &scratch, &r)) {
        check_epoch(&r.from);
        ENSURE(r.is_asked == (value.kind == JSON_OBJECT));
        ENSURE(r.is_asked || (!r.from.epoch[0] && !r.rewind && !r.rewind_s));
    }
    buf_fini(&scratch);
}

static void check_list(struct span text)
{
    enum { PLACES = 4 };
    struct position at[PLACES];
    struct position again[PLACES];
    struct buf out = {0};
    if (positions_read(text, at, PLACES)) {
        positions_add(&out, at, PLACES);
        ENSURE(out.len <= PLACES * (POSITION_CHARS + 1));
        ENSURE(positions_read(buf_span(&out), again, PLACES));
        for (int i = 0; i < PLACES; i++) {
            check_epoch(&at[i]);
            ENSURE(strcmp(at[i].epoch, "?") != 0 && is_same(&at[i], &again[i]));
        }
    }
    buf_fini(&out);
}

/* An answer to the question that has more has a cursor, which goes on where the page ended. */
static void check_cursor(const struct history_query *q, const struct position *top)
{
    struct kept kept = {.top = *top, .oldest = 1};
    struct history_query next;
    struct buf out = {0};
    struct page page;
    struct err err;
    uint64_t low;
    uint64_t high;
    page_range(q, top, &low, &high);
    ENSURE(!q->has_since || low > q->since.offset || low > high);
    if (low > high || low < kept.oldest)
        return;
    page_begin(&page, &out, span_str("c"), &kept, q);
    page_add(&page, q->is_backwards ? high : low, span_str("\"e\""), span_of(NULL, 0), 0);
    page_end(&page, true);
    const char *cursor = memmem(out.p, out.len, "\"cursor\":\"", 10);
    ENSURE(cursor);
    struct span rest = span_from(buf_span(&out), (size_t)(cursor - out.p) + 10);
    struct buf query = {0};
    buf_add_str(&query, "cursor=");
    buf_add(&query, rest.p, rest.len - 2); // without "}
    ENSURE(history_query_read(buf_span(&query), &next, &err));
    ENSURE(next.is_backwards == q->is_backwards && next.has_since && next.has_until);
    ENSURE(strcmp(next.since.epoch, top->epoch) == 0 && strcmp(next.until.epoch, top->epoch) == 0);
    ENSURE(q->is_backwards ? next.until.offset + 1 == high && next.since.offset + 1 == low
                           : next.since.offset == low && next.until.offset == high);
    buf_fini(&query);
    buf_fini(&out);
}

static void check_query(struct span text)
{
    struct history_query q;
    struct position top;
    struct err err;
    if (!history_query_read(text, &q, &err)) {
        ENSURE(err.status == 400 && err.text[0]);
        return;
    }
    ENSURE(q.limit >= 1 && q.limit <= 1000 && q.start_ms >= 0 && q.end_ms >= 0);
    check_epoch(&q.since);
    check_epoch(&q.until);
    ENSURE((q.has_since || !q.since.epoch[0]) && (q.has_until || !q.until.epoch[0]));
    ENSURE(position_read(span_str("abc:1000"), &top));
    check_cursor(&q, &top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    check_recovery(input);
    check_list(input);
    check_query(input);
    return 0;
}
