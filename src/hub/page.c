/* The JSON of a page. */
#include "base/base.h"

#include "hub/page.h"

#include "wire/json.h"

void page_range(
    const struct history_query *query, const struct position *top, uint64_t *low, uint64_t *high)
{
    uint64_t since = query->has_since ? query->since.offset : 0;
    *low = since < top->offset ? since + 1 : top->offset + 1; // behind any number at all
    *high =
        query->has_until && query->until.offset < top->offset ? query->until.offset : top->offset;
}

void page_begin(struct page *page, struct buf *out, struct span channel, const struct kept *kept,
    const struct history_query *query)
{
    *page = (struct page){.out = out, .kept = *kept, .query = query};
    buf_add_str(out, "{\"channel\":");
    json_quote(out, channel);
    buf_addf(out, ",\"epoch\":\"%s\",\"oldest\":%llu,\"newest\":%llu", kept->top.epoch,
        (unsigned long long)kept->oldest, (unsigned long long)kept->top.offset);
    if (query)
        buf_add_str(out, ",\"items\":[");
}

void page_add(
    struct page *page, uint64_t offset, struct span name, struct span data, int64_t time_ms)
{
    buf_addf(page->out,
        "%s{\"id\":\"%s:%llu\",\"offset\":%llu,\"name\":%.*s,\"data\":", page->has_items ? "," : "",
        page->kept.top.epoch, (unsigned long long)offset, (unsigned long long)offset, SPAN(name));
    if (data.len)
        buf_add_span(page->out, data);
    else
        buf_add_str(page->out, "null");
    buf_addf(page->out, ",\"time_ms\":%lld}", (long long)time_ms);
    page->has_items = true;
    page->last = offset;
}

void page_end(struct page *page, bool has_more)
{
    const struct history_query *q = page->query;
    if (q) {
        uint64_t low;
        uint64_t high;
        page_range(q, &page->kept.top, &low, &high);
        buf_addf(page->out, "],\"has_more\":%s,\"complete\":%s", has_more ? "true" : "false",
            low < page->kept.oldest ? "false" : "true");
        /* The next page goes on behind the last item; the question's other bounds stay. */
        if (has_more)
            buf_addf(page->out, ",\"cursor\":\"%c%s:%llu:%llu:%lld:%lld\"",
                q->is_backwards ? 'b' : 'f', page->kept.top.epoch, (unsigned long long)page->last,
                (unsigned long long)(q->is_backwards ? low - 1 : high), (long long)q->start_ms,
                (long long)q->end_ms);
    }
    buf_add_char(page->out, '}');
}

void page_add_state(struct buf *out, const struct kept *kept)
{
    buf_addf(out, "{\"epoch\":\"%s\",\"oldest\":%llu,\"newest\":%llu,\"bytes\":%llu,\"ttl_s\":%u}",
        kept->top.epoch, (unsigned long long)kept->oldest, (unsigned long long)kept->top.offset,
        (unsigned long long)kept->bytes, kept->ttl_s);
}
