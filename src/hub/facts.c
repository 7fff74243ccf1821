/* Facts: their names, copies, ends. */
#include "base/base.h"

#include "hub/facts.h"

#include <stdlib.h>

#include "base/mem.h"

static const struct {
    const char *event, *group;
} names[FACT_KINDS] = {
#define FACT(name, event, group, sentence) {#event, #group},
#include "hub/facts.def"
#undef FACT
};

const uint32_t fact_latency_ms[FACT_LATENCY_BUCKETS - 1] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 5000, 30000, 120000};

const char *fact_outcome_word(enum fact_outcome outcome)
{
    static const char *const words[FACT_OUTCOMES] = {[FACT_DELIVERED] = "delivered",
        [FACT_EXPIRED] = "expired",
        [FACT_OVERFLOWED] = "overflowed",
        [FACT_REMOVED] = "removed",
        [FACT_ABANDONED] = "abandoned",
        [FACT_SUPPRESSED] = "suppressed"};
    return words[outcome];
}

const char *fact_event(enum fact_kind kind)
{
    return names[kind].event;
}

const char *fact_group(enum fact_kind kind)
{
    return names[kind].group;
}

uint32_t fact_mask(struct span name)
{
    uint32_t mask = 0;
    for (int i = 0; i < FACT_KINDS; i++)
        if (span_is(name, names[i].event) || span_is(name, names[i].group))
            mask |= 1U << i;
    return mask;
}

static struct span move_span(struct span from, char **at)
{
    struct span to = span_of(*at, from.len);
    if (from.len)
        memcpy(*at, from.p, from.len);
    *at += from.len;
    return to;
}

struct fact *fact_copy(const struct fact *f)
{
    struct fact *copy = mem_alloc(sizeof *copy + f->channel.len + f->user.len + f->socket_id.len);
    char *at = (char *)(copy + 1);
    *copy = *f;
    copy->channel = move_span(f->channel, &at);
    copy->user = move_span(f->user, &at);
    copy->socket_id = move_span(f->socket_id, &at);
    if (copy->frame)
        frame_hold(copy->frame);
    return copy;
}

void fact_free(struct fact *f)
{
    if (!f)
        return;
    frame_drop(f->frame);
    free(f);
}
