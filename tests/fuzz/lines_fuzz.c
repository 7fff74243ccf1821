/* What an HTTP client reads is what was said: escaped, framed, cut anywhere, it comes back. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "hub/audience.h"
#include "wire/chunk.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_bodies(struct chunk_walk *walk, struct span in, struct buf *out)
{
    struct span run;
    bool is_body;
    while (chunk_next(walk, &in, &run, &is_body))
        if (is_body)
            buf_add_span(out, run);
}

static void check_line(struct span line, struct span text)
{
    struct json array;
    struct json item;
    struct buf scratch = {0};
    struct span back;
    size_t at = 0;
    for (size_t i = 0; i + 1 < line.len; i++)
        ENSURE(line.p[i] >= ' ' && line.p[i] <= '~');
    ENSURE(line.p[0] == 'a' && line.p[line.len - 1] == '\n');
    ENSURE(json_parse(span_of(line.p + 1, line.len - 2), &array));
    ENSURE(json_next(&array, &at, &item) && json_decode(&item, &scratch, &back));
    ENSURE(span_eq(back, text));
    ENSURE(!json_next(&array, &at, &item));
    buf_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    if (!utf8_is_valid(text))
        return 0;
    size_t room = audience_room(AUDIENCE_LINE, text);
    char *frame = mem_alloc(2 * room);
    size_t n = audience_encode(AUDIENCE_LINE, frame, text, 0);
    ENSURE(n <= room);
    memcpy(frame + n, frame, n);
    struct span all = span_of(frame, 2 * n);
    size_t cut = data[0] * all.len / 256;
    struct chunk_walk walk = {0};
    struct buf bodies = {0};
    add_bodies(&walk, span_of(all.p, cut), &bodies);
    add_bodies(&walk, span_from(all, cut), &bodies);
    ENSURE(chunk_is_between(&walk) && bodies.len % 2 == 0);
    check_line(span_of(bodies.p, bodies.len / 2), text);
    ENSURE(memcmp(bodies.p, bodies.p + bodies.len / 2, bodies.len / 2) == 0);
    buf_fini(&bodies);
    free(frame);
    return 0;
}
