/* page.h - one page of a channel's history as JSON, wherever its events lie (docs/history.md).
 *
 *     page_begin(&page, &out, channel, &span_of_stream);
 *     page_add(...);              at most query.limit times, in the query's direction
 *     page_end(&page, ...);
 *
 * Thread: any; it is a value.
 */
#ifndef HUB_PAGE_H
#define HUB_PAGE_H

#include "base/base.h"
#include "base/buf.h"
#include "hub/history.h"
#include "hub/hub.h"

/* What is kept of a stream. */
struct kept {
    struct position top;
    uint64_t oldest; // top + 1 when nothing is
    uint64_t bytes;
    uint32_t ttl_s;
};

struct page {
    struct buf *out; // the caller's
    struct kept kept;
    const struct history_query *query;
    uint64_t last; // offset that was added last
    bool has_items;
};

/* Without a query there are no items: what is kept, and that the question's epoch is not. */
void page_begin(struct page *page, struct buf *out, struct span channel, const struct kept *kept,
    const struct history_query *query);

/* name is JSON, data too; empty data is null. */
void page_add(
    struct page *page, uint64_t offset, struct span name, struct span data, int64_t time_ms);

void page_end(struct page *page, bool has_more);

/* {"epoch":..,"oldest":..,"newest":..,"bytes":..,"ttl_s":..} */
void page_add_state(struct buf *out, const struct kept *kept);

/* The offsets that a query is about, whatever is kept: from *low to *high, which may be less. */
void page_range(
    const struct history_query *query, const struct position *top, uint64_t *low, uint64_t *high);

#endif
