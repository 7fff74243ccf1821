/* A walk over chunks finds the bodies that were put into them, however the bytes are cut. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wire/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bodies one behind the other; ends has where each ends. */
struct bodies {
    struct buf bytes;
    struct buf ends; // of size_t
};

static void end_body(struct bodies *b)
{
    buf_add(&b->ends, (const char *)&b->bytes.len, sizeof b->bytes.len);
}

/* Bodies whose lengths are bytes of the input; some are longer than any byte says. */
static void write_chunks(struct span input, struct buf *wire, struct bodies *said)
{
    for (size_t i = 0; i < input.len && i < 64; i++) {
        uint32_t n = (unsigned char)input.p[i];
        n = n >= 0xf0 ? (n - 0xef) << 12 : n + 1;
        wire->len += chunk_head(buf_room(wire, CHUNK_HEAD_MAX), n);
        for (uint32_t k = 0; k < n; k++) {
            char c = "\r\n0a;x"[(k + i) % 6]; // looks like framing
            buf_add_char(wire, c);
            buf_add_char(&said->bytes, c);
        }
        end_body(said);
        buf_add_str(wire, "\r\n");
    }
}

static void walk_piece(struct chunk_walk *walk, struct span piece, struct bodies *found)
{
    struct span run;
    bool is_body;
    if (piece.len == 0)
        return; // an empty buffer has no address to count from
    const char *at = piece.p;
    const char *end = piece.p + piece.len;
    while (chunk_next(walk, &piece, &run, &is_body)) {
        ENSURE(run.p == at && run.len > 0); // nothing is left out
        at += run.len;
        if (is_body)
            buf_add_span(&found->bytes, run);
        if (chunk_is_between(walk))
            end_body(found);
    }
    ENSURE(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span cuts = span_of((const char *)data, size / 2);
    struct span input = span_of((const char *)data + size / 2, size - size / 2);
    struct buf wire = {0};
    struct bodies said = {0};
    struct bodies found = {0};
    struct chunk_walk walk = {0};
    write_chunks(input, &wire, &said);
    struct span rest = buf_span(&wire);
    for (size_t i = 0; i < cuts.len && rest.len; i++) {
        size_t n = (unsigned char)cuts.p[i] % 23;
        n = n < rest.len ? n : rest.len;
        walk_piece(&walk, span_of(rest.p, n), &found);
        rest = span_from(rest, n);
    }
    walk_piece(&walk, rest, &found);
    ENSURE(chunk_is_between(&walk));
    ENSURE(span_eq(buf_span(&said.bytes), buf_span(&found.bytes)));
    ENSURE(span_eq(buf_span(&said.ends), buf_span(&found.ends)));
    buf_fini(&wire);
    buf_fini(&said.bytes);
    buf_fini(&said.ends);
    buf_fini(&found.bytes);
    buf_fini(&found.ends);
    return 0;
}
