/* The webhooks of an app, as the file has them. */
#include "base/base.h"

#include "config_yaml.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "hub/facts.h"

enum { HEADERS_MAX = 40, HEADER_MAX = 4096, BATCH_MAX_MS = 10000 };

struct place {
    struct file *file;
    struct webhook *hook;
};

static bool refuse(
    const struct place *at, const yaml_node_t *node, struct err *err, const char *why)
{
    (void)err_set(err, 0, "apps.webhooks.%s", why);
    return node_fail(at->file, node, err);
}

static bool read_url(const struct place *at, const yaml_node_t *node, struct err *err)
{
    struct span url = node_text(node);
    if (!text_is_url(url))
        return refuse(at, node, err,
            "url: expected http:// or https:// with a host, and neither credentials nor #");
    at->hook->url = mem_dup(url.p, url.len);
    return true;
}

static bool read_events(const struct place *at, const yaml_node_t *list, struct err *err)
{
    if (node_is_null(list))
        return true;
    if (!node_expect(at->file, list, YAML_SEQUENCE_NODE, "apps.webhooks.events", err))
        return false;
    const yaml_node_item_t *item = list->data.sequence.items.start;
    for (; item < list->data.sequence.items.top; item++) {
        const yaml_node_t *node = node_at(at->file, *item);
        if (!node_expect(at->file, node, YAML_SCALAR_NODE, "apps.webhooks.events", err))
            return false;
        uint32_t mask = fact_mask(node_text(node));
        if (!mask) {
            struct nearest nearest;
            char word[OPTION_NAME];
            snprintf(word, sizeof word, "%.*s", SPAN(node_text(node)));
            nearest_init(&nearest, word);
            for (int i = 0; i < FACT_KINDS; i++) {
                nearest_try(&nearest, fact_event((enum fact_kind)i));
                nearest_try(&nearest, fact_group((enum fact_kind)i));
            }
            (void)err_set(err, 0, "apps.webhooks.events: unknown event '%s', did you mean '%s'?",
                word, nearest.best);
            return node_fail(at->file, node, err);
        }
        at->hook->facts |= mask;
    }
    return true;
}

/* A header's name, as a token; these three are ours. */
static bool is_own_header(struct span name)
{
    static const char *const own[] = {
        "content-type", "content-length", "host", "transfer-encoding", "connection", "expect"};
    char lower[32] = {0};
    if (name.len >= sizeof lower)
        return false;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (strcmp(lower, own[i]) == 0)
            return true;
    return strncmp(lower, "x-pusher-", 9) == 0;
}

static bool is_header(struct span name, struct span value)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("()<>@,;:\\\"/[]?={}", name.p[i]))
            return false;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
            return false;
    return name.len && value.len && name.len + value.len < HEADER_MAX;
}

static bool read_headers(const struct place *at, const yaml_node_t *node, struct err *err)
{
    struct pairs p;
    bool is_end;
    struct webhook *hook = at->hook;
    if (!pairs_start(&p, at->file, node, "apps.webhooks.headers.", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end) {
        if (!node_expect(at->file, p.value, YAML_SCALAR_NODE, p.path, err))
            return false;
        struct span value = node_text(p.value);
        if (is_own_header(p.key))
            return refuse(at, p.key_node, err, "headers: this header is set by the server");
        if (!is_header(p.key, value) || hook->n_headers == HEADERS_MAX)
            return refuse(at, p.key_node, err, "headers: not a header, or too many or too long");
        struct buf line = {0};
        buf_addf(&line, "%.*s: %.*s", SPAN(p.key), SPAN(value));
        hook->headers = mem_array(hook->headers, hook->n_headers + 1, sizeof *hook->headers);
        hook->headers[hook->n_headers++] = mem_dup(line.p, line.len);
        buf_fini(&line);
    }
    return is_end;
}

static bool read_batch(const struct place *at, const yaml_node_t *node, struct err *err)
{
    uint64_t ms;
    if (!text_to_u64(node_text(node), &ms) || ms > BATCH_MAX_MS)
        return refuse(at, node, err, "batch_ms: expected milliseconds from 0 to 10000");
    at->hook->batch_ms = (uint32_t)ms;
    return true;
}

static bool read_word(const struct place *at, const struct pairs *p, struct err *err)
{
    struct span text = node_text(p->value);
    if (memchr(text.p, '\0', text.len))
        return refuse(at, p->value, err, "channel_prefix and channel_suffix hold no NUL byte");
    char **to =
        span_is(p->key, "channel_prefix") ? &at->hook->channel_prefix : &at->hook->channel_suffix;
    free(*to);
    *to = mem_dup(text.p, text.len);
    return true;
}

static bool read_part(const struct place *at, const struct pairs *p, struct err *err)
{
    static const char *const words[] = {
        "url", "events", "channel_prefix", "channel_suffix", "headers", "batch_ms"};
    if (span_is(p->key, "events"))
        return read_events(at, p->value, err);
    if (span_is(p->key, "headers"))
        return read_headers(at, p->value, err);
    bool is_known = span_is(p->key, "url") || span_is(p->key, "channel_prefix") ||
                    span_is(p->key, "channel_suffix") || span_is(p->key, "batch_ms");
    if (!is_known)
        return pairs_refuse_unknown(p, words, COUNT_OF(words), err);
    if (!node_expect(p->file, p->value, YAML_SCALAR_NODE, p->path, err))
        return false;
    if (span_is(p->key, "url"))
        return read_url(at, p->value, err);
    if (span_is(p->key, "batch_ms"))
        return read_batch(at, p->value, err);
    return read_word(at, p, err);
}

static bool read_hook(
    struct file *f, const yaml_node_t *node, struct webhook *hook, struct err *err)
{
    struct place at = {f, hook};
    struct pairs p;
    bool is_end;
    if (!node_expect(f, node, YAML_MAPPING_NODE, "apps.webhooks", err) ||
        !pairs_start(&p, f, node, "apps.webhooks.", err))
        return false;
    while (pairs_next(&p, &is_end, err) && !is_end)
        if (!read_part(&at, &p, err))
            return false;
    if (!is_end)
        return false;
    return hook->url || refuse(&at, node, err, "url: is missing");
}

/* A fact whose opposite undoes it needs the opposite to be told as well. */
static uint32_t with_opposites(uint32_t facts)
{
    if (facts & 1U << FACT_VACATED)
        facts |= 1U << FACT_OCCUPIED;
    if (facts & 1U << FACT_MEMBER_REMOVED)
        facts |= 1U << FACT_MEMBER_ADDED;
    return facts;
}

bool file_webhooks(struct file *f, struct app *app, const struct pairs *p, struct err *err)
{
    if (node_is_null(p->value))
        return true;
    if (!node_expect(f, p->value, YAML_SEQUENCE_NODE, p->path, err))
        return false;
    const yaml_node_item_t *item = p->value->data.sequence.items.start;
    for (; item < p->value->data.sequence.items.top; item++) {
        app->webhooks = mem_array(app->webhooks, app->n_webhooks + 1, sizeof *app->webhooks);
        struct webhook *hook = &app->webhooks[app->n_webhooks++];
        *hook =
            (struct webhook){.channel_prefix = mem_dup_str(""), .channel_suffix = mem_dup_str("")};
        if (!read_hook(f, node_at(f, *item), hook, err))
            return false;
        if (!hook->facts)
            hook->facts = (1U << FACT_KINDS) - 1;
        app->facts |= with_opposites(hook->facts);
    }
    return true;
}
