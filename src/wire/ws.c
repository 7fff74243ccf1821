/* Client frames in, server frame heads out. */
/* SHA1(): one call per connection, no context to prepare. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/base.h"

#include "wire/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum { CLIENT_HEAD_MAX = 14, MASK_BIT = 0x80, FIN_BIT = 0x80, RSV_BITS = 0x70, LEN_BITS = 0x7f };

struct frame {
    uint8_t opcode;
    bool is_final;
    uint64_t left; // payload bytes still to come
    unsigned char mask[4];
    unsigned mask_at; // mask[mask_at % 4] goes with the next byte
};

struct ws_partial {
    unsigned char head[CLIENT_HEAD_MAX]; // of a frame whose head is incomplete
    uint8_t n_head;
    bool in_frame;
    bool is_handed_out; // message or control was the last result
    struct frame frame; // while in_frame
    enum ws_kind kind;  // of the message, WS_CONTINUATION while there is none
    struct utf8 utf8;   // of a text message
    struct buf message; // fragments so far
    struct buf control; // payload of a control frame that came in pieces
};

static void free_partial(struct ws_reader *r)
{
    if (!r->partial)
        return;
    buf_fini(&r->partial->message);
    buf_fini(&r->partial->control);
    free(r->partial);
    r->partial = NULL;
}

void ws_reader_fini(struct ws_reader *r)
{
    free_partial(r);
}

static struct ws_partial *need_partial(struct ws_reader *r)
{
    if (!r->partial)
        r->partial = mem_zero(sizeof *r->partial);
    return r->partial;
}

static bool is_control(uint8_t opcode)
{
    return opcode & 8;
}

static size_t head_bytes(const unsigned char *p, size_t n)
{
    if (n < 2)
        return 2;
    unsigned len = p[1] & LEN_BITS;
    return 2 + (len == 127 ? 8 : len == 126 ? 2 : 0) + 4;
}

static uint64_t read_be(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* The rules of RFC 6455 5.2 that a head alone can break.  0, or the close code. */
static uint16_t parse_head(const unsigned char *p, struct frame *f)
{
    unsigned len = p[1] & LEN_BITS;
    size_t wide = len == 127 ? 8 : len == 126 ? 2 : 0;
    f->opcode = p[0] & 15;
    f->is_final = p[0] & FIN_BIT;
    f->left = wide ? read_be(p + 2, wide) : len;
    f->mask_at = 0;
    memcpy(f->mask, p + 2 + wide, sizeof f->mask);
    bool is_known = f->opcode <= WS_BINARY || (f->opcode >= WS_CLOSE && f->opcode <= WS_PONG);
    if ((p[0] & RSV_BITS) || !is_known || !(p[1] & MASK_BIT))
        return WS_PROTOCOL_ERROR;
    if ((wide == 2 && f->left < 126) || (wide == 8 && f->left < 65536) || f->left >> 63)
        return WS_PROTOCOL_ERROR; // longer than need be, or the sign bit
    if (is_control(f->opcode) && (!f->is_final || f->left > WS_CONTROL_MAX))
        return WS_PROTOCOL_ERROR;
    return 0;
}

/* The rules that depend on what came before. */
static uint16_t check_sequence(
    const struct ws_partial *partial, const struct frame *f, size_t limit)
{
    bool in_message = partial && partial->kind != WS_CONTINUATION;
    if (is_control(f->opcode))
        return 0;
    if (in_message != (f->opcode == WS_CONTINUATION))
        return WS_PROTOCOL_ERROR;
    size_t have = in_message ? partial->message.len : 0;
    /* A reload may have lowered the limit below what is there already. */
    return f->left > limit || have > limit - f->left ? WS_TOO_BIG : 0;
}

static void unmask(struct frame *f, char *p, size_t n)
{
    size_t i = 0;
    unsigned char mask[8];
    for (unsigned k = 0; k < sizeof mask; k++)
        mask[k] = f->mask[(f->mask_at + k) & 3];
    uint64_t wide;
    memcpy(&wide, mask, sizeof wide);
    for (; n - i >= sizeof wide; i += sizeof wide) {
        uint64_t word;
        memcpy(&word, p + i, sizeof word);
        word ^= wide;
        memcpy(p + i, &word, sizeof word);
    }
    for (; i < n; i++)
        p[i] = (char)((unsigned char)p[i] ^ mask[i & 7]);
    f->mask_at = (f->mask_at + (unsigned)n) & 3;
}

/* Reads one head from what was kept and what is there.  MORE keeps the bytes. */
static enum ws_result read_head(
    struct ws_reader *r, struct span *in, struct frame *f, size_t limit, uint16_t *code)
{
    struct ws_partial *partial = r->partial;
    unsigned char joined[CLIENT_HEAD_MAX];
    size_t kept = partial ? partial->n_head : 0;
    size_t n = in->len < sizeof joined - kept ? in->len : sizeof joined - kept;
    if (kept)
        memcpy(joined, partial->head, kept);
    if (n)
        memcpy(joined + kept, in->p, n);
    size_t want = head_bytes(joined, kept + n);
    if (kept + n < want) {
        if (n) {
            partial = need_partial(r);
            memcpy(partial->head, joined, kept + n);
            partial->n_head = (uint8_t)(kept + n);
        }
        /* What is wrong with two bytes need not wait for the others. */
        if (kept + n >= 2 && (!(joined[1] & MASK_BIT) || (joined[0] & RSV_BITS))) {
            *code = WS_PROTOCOL_ERROR;
            return WS_BAD;
        }
        *in = span_from(*in, n);
        return WS_MORE;
    }
    *in = span_from(*in, want - kept);
    if (partial)
        partial->n_head = 0;
    *code = parse_head(joined, f);
    if (!*code)
        *code = check_sequence(partial, f, limit);
    return *code ? WS_BAD : WS_OK;
}

/* A frame that is whole in the input and a message of its own: no copy. */
static enum ws_result take_whole(
    struct frame *f, struct span *in, struct ws_message *out, uint16_t *code)
{
    struct span payload = span_of(in->p, (size_t)f->left);
    unmask(f, (char *)(uintptr_t)payload.p, payload.len);
    *in = span_from(*in, payload.len);
    if (f->opcode == WS_TEXT && !utf8_is_valid(payload)) {
        *code = WS_BAD_DATA;
        return WS_BAD;
    }
    *out = (struct ws_message){(enum ws_kind)f->opcode, payload};
    return WS_OK;
}

static void begin_frame(struct ws_partial *partial, const struct frame *f)
{
    partial->frame = *f;
    partial->in_frame = true;
    if (is_control(f->opcode))
        partial->control.len = 0;
    else if (f->opcode != WS_CONTINUATION)
        partial->kind = (enum ws_kind)f->opcode;
}

/* Takes what there is of the frame's payload.  False when text is not UTF-8. */
static bool take_payload(struct ws_partial *partial, struct span *in)
{
    struct frame *f = &partial->frame;
    size_t n = f->left < in->len ? (size_t)f->left : in->len;
    struct span piece = span_of(in->p, n);
    *in = span_from(*in, n);
    f->left -= n;
    if (n)
        unmask(f, (char *)(uintptr_t)piece.p, n);
    if (is_control(f->opcode)) {
        buf_add_span(&partial->control, piece);
        return true;
    }
    buf_add_span(&partial->message, piece);
    return partial->kind != WS_TEXT || utf8_feed(&partial->utf8, piece.p, piece.len);
}

/* A frame has ended.  True when that completes something for the caller. */
static bool end_frame(struct ws_partial *partial, struct ws_message *out)
{
    const struct frame *f = &partial->frame;
    partial->in_frame = false;
    if (is_control(f->opcode)) {
        *out = (struct ws_message){(enum ws_kind)f->opcode, buf_span(&partial->control)};
        partial->is_handed_out = partial->kind == WS_CONTINUATION; // it stood between messages
        return true;
    }
    if (!f->is_final)
        return false;
    *out = (struct ws_message){partial->kind, buf_span(&partial->message)};
    partial->is_handed_out = true;
    return true;
}

enum ws_result ws_next(
    struct ws_reader *r, struct span *in, size_t limit, struct ws_message *out, uint16_t *code)
{
    if (r->partial && r->partial->is_handed_out)
        free_partial(r);
    for (;;) {
        struct frame f;
        if (!r->partial || !r->partial->in_frame) {
            enum ws_result result = read_head(r, in, &f, limit, code);
            if (result != WS_OK)
                return result;
            bool is_alone = is_control(f.opcode) || (f.opcode != WS_CONTINUATION && f.is_final);
            if (is_alone && f.left <= in->len) {
                if (r->partial && r->partial->kind == WS_CONTINUATION)
                    free_partial(r); // it held a piece of the head only
                return take_whole(&f, in, out, code);
            }
            begin_frame(need_partial(r), &f);
        }
        bool is_text_good = take_payload(r->partial, in);
        if (is_text_good && r->partial->frame.left)
            return WS_MORE;
        bool is_last = is_text_good && end_frame(r->partial, out);
        if (!is_text_good || (is_last && out->kind == WS_TEXT && r->partial->utf8.need)) {
            *code = WS_BAD_DATA;
            return WS_BAD;
        }
        if (is_last)
            return WS_OK;
    }
}

size_t ws_head(char *out, enum ws_kind kind, size_t payload)
{
    out[0] = (char)(FIN_BIT | (unsigned)kind);
    if (payload < 126) {
        out[1] = (char)payload;
        return 2;
    }
    size_t wide = payload < 65536 ? 2 : 8;
    out[1] = wide == 2 ? 126 : 127;
    for (size_t i = 0; i < wide; i++)
        out[2 + i] = (char)(payload >> (8 * (wide - 1 - i)));
    return 2 + wide;
}

bool ws_code_is_valid(uint16_t code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

void ws_accept(struct span key, char out[WS_ACCEPT])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 1.3
    unsigned char joined[64 + sizeof guid];
    unsigned char digest[SHA_DIGEST_LENGTH];
    unsigned char text[WS_ACCEPT + 1];
    ENSURE(key.len <= 64);
    memcpy(joined, key.p, key.len);
    memcpy(joined + key.len, guid, sizeof guid - 1);
    SHA1(joined, key.len + sizeof guid - 1, digest);
    EVP_EncodeBlock(text, digest, sizeof digest);
    memcpy(out, text, WS_ACCEPT);
}
