/* WebSocket frames: every rule of the reader at every split of its input, and the writer. */
#include "base/base.h"

#include "wire/ws.h"

#include "check_span.h"
#include "feed.h"
#include "test.h"

static size_t limit = 1000;

static void say_message(struct buf *said, const struct ws_message *m)
{
    static const char *const names[] = {[WS_TEXT] = "text",
        [WS_BINARY] = "binary",
        [WS_CLOSE] = "close",
        [WS_PING] = "ping",
        [WS_PONG] = "pong"};
    buf_addf(said, "%s(", names[m->kind]);
    if (m->data.len > 64)
        buf_addf(said, "%zu", m->data.len);
    else
        buf_add_span(said, m->data);
    buf_add_str(said, ") ");
}

static void run_ws(struct feed *f, struct buf *said)
{
    struct ws_reader r = {0};
    struct ws_message m;
    struct span piece;
    uint16_t code = 0;
    enum ws_result result = WS_MORE;
    while (result != WS_BAD && feed_next(f, &piece)) {
        while ((result = ws_next(&r, &piece, limit, &m, &code)) == WS_OK)
            say_message(said, &m);
        CHECK(result == WS_BAD || piece.len == 0);
    }
    if (result == WS_BAD)
        buf_addf(said, "bad %u", code);
    ws_reader_fini(&r);
    CHECK(r.partial == NULL);
}

/* --- frames as a client sends them ------------------------------------------------------- */

enum { FIN = 0x80, RSV1 = 0x40, RSV2 = 0x20, RSV3 = 0x10 };

/* A frame's length in the form of that many extra bytes: 0, 2 or 8. */
static void add_head(struct buf *out, unsigned first, uint64_t len, unsigned wide)
{
    buf_add_char(out, (char)first);
    buf_add_char(out, (char)(0x80 | (wide == 8 ? 127 : wide == 2 ? 126 : len)));
    for (unsigned i = 0; i < wide; i++)
        buf_add_char(out, (char)(len >> (8 * (wide - 1 - i))));
}

static void add_masked(struct buf *out, struct span payload)
{
    static const unsigned char mask[] = {0x37, 0xfa, 0x21, 0x3d};
    buf_add(out, mask, sizeof mask);
    for (size_t i = 0; i < payload.len; i++)
        buf_add_char(out, (char)((unsigned char)payload.p[i] ^ mask[i % 4]));
}

static void add_span_frame(struct buf *out, unsigned first, struct span payload)
{
    unsigned wide = payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8;
    add_head(out, first, payload.len, wide);
    add_masked(out, payload);
}

static void add_frame(struct buf *out, unsigned first, const char *payload)
{
    add_span_frame(out, first, span_str(payload));
}

/* What the reader says of what was built; empties it. */
static const char *said_of(struct buf *in)
{
    const char *said = feed_everywhere(buf_span(in), run_ws);
    buf_fini(in);
    return said;
}

TEST(whole_frames_are_messages)
{
    struct buf in = {0};
    add_frame(&in, FIN | WS_TEXT, "hello");
    add_frame(&in, FIN | WS_BINARY, "\xff\xfe");
    add_frame(&in, FIN | WS_TEXT, "");
    add_frame(&in, FIN | WS_PING, "p");
    add_frame(&in, FIN | WS_PONG, "");
    add_frame(&in, FIN | WS_CLOSE,
        "\x03\xe8"
        "bye");
    CHECK_STR(said_of(&in), "text(hello) binary(\xff\xfe) text() ping(p) pong() close(\x03\xe8"
                            "bye) ");
}

TEST(fragments_are_joined)
{
    struct buf in = {0};
    add_frame(&in, WS_TEXT, "he");
    add_frame(&in, WS_CONTINUATION, "");
    add_frame(&in, WS_CONTINUATION, "ll");
    add_frame(&in, FIN | WS_CONTINUATION, "o");
    add_frame(&in, WS_BINARY, "");
    add_frame(&in, FIN | WS_CONTINUATION, "");
    add_frame(&in, FIN | WS_TEXT, "next");
    CHECK_STR(said_of(&in), "text(hello) binary() text(next) ");
}

TEST(control_frames_may_come_between_fragments)
{
    struct buf in = {0};
    add_frame(&in, WS_TEXT, "he");
    add_frame(&in, FIN | WS_PING, "1");
    add_frame(&in, WS_CONTINUATION, "l");
    add_frame(&in, FIN | WS_PONG, "22");
    add_frame(&in, FIN | WS_PING, "");
    add_frame(&in, FIN | WS_CONTINUATION, "lo");
    add_frame(&in, FIN | WS_CLOSE, "");
    CHECK_STR(said_of(&in), "ping(1) pong(22) ping() text(hello) close() ");
}

TEST(fragments_that_do_not_follow_each_other_are_refused)
{
    static const unsigned char rows[][3] = {/* before, at fault, and where: 0 = nothing before */
        {0, WS_CONTINUATION}, {0, FIN | WS_CONTINUATION}, {WS_TEXT, WS_TEXT},
        {WS_TEXT, FIN | WS_TEXT}, {WS_TEXT, FIN | WS_BINARY}, {WS_BINARY, WS_TEXT},
        {FIN | WS_TEXT, WS_CONTINUATION}, {FIN | WS_TEXT, FIN | WS_CONTINUATION}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf in = {0};
        if (rows[i][0])
            add_frame(&in, rows[i][0], "a");
        add_frame(&in, rows[i][1], "b");
        CHECK_STR(said_of(&in), rows[i][0] & FIN ? "text(a) bad 1002" : "bad 1002");
    }
}

TEST(a_frame_that_is_not_masked_is_refused)
{
    struct buf in = {0};
    buf_add(&in, "\x81\x02hi", 4);
    CHECK_STR(said_of(&in), "bad 1002");
    buf_add(&in, "\x81\x7e", 2); // already at its second byte
    CHECK_STR(said_of(&in), "bad 1002");
    buf_add(&in, "\x89\x00", 2);
    CHECK_STR(said_of(&in), "bad 1002");
}

TEST(a_mask_of_zeros_is_a_mask)
{
    struct buf in = {0};
    buf_add(&in, "\x81\x82\0\0\0\0hi", 8);
    CHECK_STR(said_of(&in), "text(hi) ");
}

TEST(reserved_bits_are_refused)
{
    static const unsigned bits[] = {RSV1, RSV2, RSV3, RSV1 | RSV2 | RSV3};
    static const unsigned kinds[] = {
        FIN | WS_TEXT, WS_TEXT, FIN | WS_BINARY, FIN | WS_PING, FIN | WS_CLOSE};
    for (size_t b = 0; b < COUNT_OF(bits); b++) {
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            struct buf in = {0};
            add_frame(&in, bits[b] | kinds[k], "x");
            CHECK_STR(said_of(&in), "bad 1002");
        }
    }
    struct buf in = {0};
    add_frame(&in, WS_TEXT, "x");
    add_frame(&in, FIN | RSV1 | WS_CONTINUATION, "y");
    CHECK_STR(said_of(&in), "bad 1002");
}

TEST(unknown_kinds_are_refused)
{
    static const unsigned kinds[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct buf in = {0};
        add_frame(&in, FIN | WS_TEXT, "a");
        add_frame(&in, FIN | kinds[k], "b");
        CHECK_STR(said_of(&in), "text(a) bad 1002");
    }
}

TEST(a_control_frame_is_whole_and_short)
{
    static const unsigned kinds[] = {WS_CLOSE, WS_PING, WS_PONG};
    char text[127] = {0};
    memset(text, 'x', 126);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct buf in = {0};
        add_span_frame(&in, FIN | kinds[k], span_of(text, 125));
        const char *said = said_of(&in);
        CHECK(strstr(said, "(125) ") != NULL && strstr(said, "bad") == NULL);
        add_span_frame(&in, FIN | kinds[k], span_of(text, 126));
        CHECK_STR(said_of(&in), "bad 1002");
        add_frame(&in, kinds[k], "x");
        CHECK_STR(said_of(&in), "bad 1002");
        add_head(&in, FIN | kinds[k], 1, 2);
        add_masked(&in, span_str("x"));
        CHECK_STR(said_of(&in), "bad 1002");
    }
}

TEST(a_length_is_written_in_the_shortest_form)
{
    static const struct {
        uint64_t len;
        unsigned wide;
        bool is_good;
    } rows[] = {{125, 0, true}, {125, 2, false}, {0, 2, false}, {126, 2, true}, {126, 8, false},
        {0, 8, false}, {65535, 2, true}, {65535, 8, false}, {65536, 8, true}};
    limit = 65536;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf in = {0};
        add_head(&in, FIN | WS_BINARY, rows[i].len, rows[i].wide);
        add_masked(&in, span_of(NULL, 0));
        CHECK_STR(said_of(&in), rows[i].is_good ? "" : "bad 1002");
    }
    limit = 1000;
}

TEST(messages_of_every_form_of_length_are_read)
{
    static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 1000, 65535, 65536, 70001};
    static char text[70001];
    limit = sizeof text;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct ws_reader r = {0};
        struct ws_message m;
        uint16_t code = 0;
        struct buf in = {0};
        add_span_frame(&in, FIN | WS_TEXT, span_of(text, lengths[i]));
        for (size_t cut = in.len < 30 ? 0 : in.len - 30; cut < in.len; cut++) {
            struct buf copy = {0};
            buf_add_span(&copy, buf_span(&in));
            struct span first = span_of(copy.p, cut);
            struct span second = span_of(copy.p + cut, copy.len - cut);
            CHECK_EQ(ws_next(&r, &first, limit, &m, &code), WS_MORE);
            CHECK_EQ(ws_next(&r, &second, limit, &m, &code), WS_OK);
            CHECK_BYTES(m.data, span_of(text, lengths[i]));
            buf_fini(&copy);
        }
        ws_reader_fini(&r);
        buf_fini(&in);
    }
    limit = 1000;
}

/* The payload never comes: the refusal must not wait for it. */
TEST(a_message_that_is_too_long_is_refused_at_its_head)
{
    static const uint64_t lengths[] = {1001, 65535, 65536, 1 << 30, UINT64_C(1) << 62, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct buf in = {0};
        add_head(&in, WS_BINARY, lengths[i], lengths[i] < 65536 ? 2 : 8);
        add_masked(&in, span_of(NULL, 0));
        CHECK_STR(said_of(&in), "bad 1009");
    }
    struct buf in = {0};
    add_head(&in, FIN | WS_TEXT, UINT64_C(1) << 63, 8); // the sign bit
    add_masked(&in, span_of(NULL, 0));
    CHECK_STR(said_of(&in), "bad 1002");
}

TEST(the_limit_is_that_of_all_fragments_together)
{
    struct buf in = {0};
    limit = 10;
    add_frame(&in, WS_TEXT, "12345");
    add_frame(&in, FIN | WS_PING, "a ping is not part of it");
    add_frame(&in, FIN | WS_CONTINUATION, "67890");
    add_frame(&in, FIN | WS_TEXT, "1234567890");
    CHECK_STR(said_of(&in), "ping(a ping is not part of it) text(1234567890) text(1234567890) ");
    add_frame(&in, WS_TEXT, "12345");
    add_head(&in, FIN | WS_CONTINUATION, 6, 0);
    add_masked(&in, span_of(NULL, 0));
    CHECK_STR(said_of(&in), "bad 1009");
    add_frame(&in, FIN | WS_TEXT, "12345678901");
    CHECK_STR(said_of(&in), "bad 1009");
    limit = 1000;
}

/* As a reload may do. */
TEST(a_limit_that_shrinks_in_mid_message_is_still_a_limit)
{
    struct ws_reader r = {0};
    struct ws_message m;
    uint16_t code = 0;
    struct buf in = {0};
    add_frame(&in, WS_TEXT, "1234567890");
    size_t first = in.len;
    add_frame(&in, FIN | WS_CONTINUATION, "x");
    struct span a = span_of(in.p, first);
    struct span b = span_of(in.p + first, in.len - first);
    CHECK_EQ(ws_next(&r, &a, 100, &m, &code), WS_MORE);
    CHECK_EQ(ws_next(&r, &b, 5, &m, &code), WS_BAD);
    CHECK_EQ(code, 1009);
    ws_reader_fini(&r);
    buf_fini(&in);
}

TEST(text_is_utf8_and_may_be_cut_anywhere_in_a_character)
{
    static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct buf in = {0};
        add_span_frame(&in, WS_TEXT, span_of(text, cut));
        add_frame(&in, FIN | WS_PING, "\xff"); // control and binary data may be anything
        add_span_frame(&in, FIN | WS_CONTINUATION, span_of(text + cut, sizeof text - 1 - cut));
        add_frame(&in, FIN | WS_BINARY, "\xc3");
        CHECK_STR(
            said_of(&in), "ping(\xff) text(a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z) binary(\xc3) ");
    }
}

TEST(text_that_is_not_utf8_is_refused)
{
    static const char *const rows[] = {"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "abcdefgh\x80", "\xc3", "abc\xe2\x82", "\xf0\x9f\x98", "\xc3\xc3\xa4", "\xf5"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf in = {0};
        add_frame(&in, FIN | WS_TEXT, rows[i]);
        CHECK_STR(said_of(&in), "bad 1007");
        add_frame(&in, WS_TEXT, rows[i]); // in fragments
        add_frame(&in, FIN | WS_CONTINUATION, "");
        CHECK_STR(said_of(&in), "bad 1007");
        add_frame(&in, WS_TEXT, "a");
        add_frame(&in, FIN | WS_CONTINUATION, rows[i]);
        CHECK_STR(said_of(&in), "bad 1007");
    }
}

/* A frame of 900 bytes, of which the twelfth is bad: what comes before it gives MORE, and with it the
 * connection ends, although most of the frame is still to come. */
TEST(a_bad_byte_fails_at_once_in_mid_frame)
{
    struct ws_reader r = {0};
    struct ws_message m;
    uint16_t code = 0;
    struct buf in = {0};
    add_head(&in, WS_TEXT, 900, 2);
    add_masked(&in, span_str("a good start\xed\xa0"));
    struct span first = span_of(in.p, in.len - 1);
    struct span second = span_of(in.p + in.len - 1, 1);
    CHECK_EQ(ws_next(&r, &first, limit, &m, &code), WS_MORE);
    CHECK_EQ(ws_next(&r, &second, limit, &m, &code), WS_BAD);
    CHECK_EQ(code, 1007);
    ws_reader_fini(&r);
    buf_fini(&in);
}

static enum ws_result take(struct ws_reader *r, const char *bytes, size_t len, struct ws_message *m)
{
    static char copy[256];
    uint16_t code = 0;
    memcpy(copy, bytes, len);
    struct span in = span_of(copy, len);
    return ws_next(r, &in, limit, m, &code);
}

TEST(an_idle_reader_owns_nothing)
{
    static const unsigned kinds[] = {FIN | WS_TEXT, FIN | WS_PING, FIN | WS_PONG};
    struct ws_reader r = {0};
    struct ws_message m;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct buf in = {0};
        add_frame(&in, kinds[k], "hello");
        for (size_t cut = 0; cut < in.len; cut++) {
            CHECK_EQ(take(&r, in.p, cut, &m), WS_MORE);
            CHECK_EQ(r.partial != NULL, cut != 0);
            CHECK_EQ(take(&r, in.p + cut, in.len - cut, &m), WS_OK);
            CHECK_SPAN(m.data, "hello");
            CHECK_EQ(take(&r, "", 0, &m), WS_MORE); // the message has been handled
            CHECK(r.partial == NULL);
        }
        buf_fini(&in);
    }
}

TEST(a_whole_frame_is_read_without_a_copy)
{
    struct ws_reader r = {0};
    struct ws_message m;
    uint16_t code = 0;
    struct buf in = {0};
    add_frame(&in, FIN | WS_TEXT, "hello");
    struct span rest = buf_span(&in);
    CHECK_EQ(ws_next(&r, &rest, limit, &m, &code), WS_OK);
    CHECK(m.data.p == in.p + 6);
    CHECK(r.partial == NULL);
    buf_fini(&in);
}

/* --- a long random conversation -------------------------------------------------------- */

static uint32_t seed = 77;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % below;
}

static struct span draw_payload(uint32_t most)
{
    static char bytes[400];
    uint32_t n = draw(3) ? draw(12) : draw(most);
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (char)(' ' + draw(95));
    return span_of(bytes, n);
}

static void add_conversation(struct buf *in, struct buf *want)
{
    for (int i = 0; i < 40; i++) {
        enum ws_kind kind = draw(2) ? WS_TEXT : WS_BINARY;
        struct buf message = {0};
        unsigned first = kind;
        for (uint32_t left = draw(4);; left--) {
            struct span part = draw_payload(200);
            buf_add_span(&message, part);
            add_span_frame(in, (left ? 0 : FIN) | first, part);
            first = WS_CONTINUATION;
            if (!left)
                break;
            for (uint32_t n = draw(3); n > 0; n--) {
                struct ws_message ping = {WS_PING, draw_payload(125)};
                add_span_frame(in, FIN | WS_PING, ping.data);
                say_message(want, &ping);
            }
        }
        say_message(want, &(struct ws_message){kind, buf_span(&message)});
        buf_fini(&message);
    }
}

TEST(a_long_conversation_survives_any_pieces)
{
    for (int round = 0; round < 50; round++) {
        struct buf in = {0};
        struct buf want = {0};
        struct buf said = {0};
        struct ws_reader r = {0};
        struct ws_message m;
        uint16_t code = 0;
        enum ws_result result = WS_MORE;
        add_conversation(&in, &want);
        for (size_t at = 0; at < in.len && result != WS_BAD;) {
            size_t n = 1 + draw(draw(2) ? 6 : 3000);
            struct span piece = span_of(in.p + at, n < in.len - at ? n : in.len - at);
            at += piece.len;
            while ((result = ws_next(&r, &piece, limit, &m, &code)) == WS_OK)
                say_message(&said, &m);
        }
        CHECK_EQ(result, WS_MORE);
        CHECK_BYTES(buf_span(&said), buf_span(&want));
        ws_reader_fini(&r);
        buf_fini(&in);
        buf_fini(&want);
        buf_fini(&said);
    }
}

/* --- the writer -------------------------------------------------------------------------- */

TEST(a_server_frame_has_the_shortest_head)
{
    static const struct {
        enum ws_kind kind;
        size_t payload;
        struct span head;
    } rows[] = {
        {WS_TEXT, 0, LITERAL("\x81\x00")},
        {WS_TEXT, 125, LITERAL("\x81\x7d")},
        {WS_TEXT, 126, LITERAL("\x81\x7e\x00\x7e")},
        {WS_BINARY, 65535, LITERAL("\x82\x7e\xff\xff")},
        {WS_BINARY, 65536, LITERAL("\x82\x7f\0\0\0\0\0\x01\0\0")},
        {WS_TEXT, 0x0102030405, LITERAL("\x81\x7f\0\0\0\x01\x02\x03\x04\x05")},
        {WS_CLOSE, 2, LITERAL("\x88\x02")},
        {WS_PING, 0, LITERAL("\x89\x00")},
        {WS_PONG, 125, LITERAL("\x8a\x7d")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[WS_HEAD_MAX];
        CHECK_BYTES(span_of(out, ws_head(out, rows[i].kind, rows[i].payload)), rows[i].head);
    }
}

TEST(only_codes_that_the_rfc_allows_are_sent)
{
    static const struct {
        uint16_t from, to;
    } good[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        bool want = false;
        for (size_t i = 0; i < COUNT_OF(good); i++)
            want |= code >= good[i].from && code <= good[i].to;
        if (ws_code_is_valid((uint16_t)code) != want)
            CHECK_EQ(code, -1); // names the code
    }
}

TEST(the_accept_header_is_that_of_the_rfc)
{
    char out[WS_ACCEPT];
    ws_accept(span_str("dGhlIHNhbXBsZSBub25jZQ=="), out); // RFC 6455 1.3
    CHECK_SPAN(span_of(out, sizeof out), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void run_reader(void)
{
    RUN(whole_frames_are_messages);
    RUN(fragments_are_joined);
    RUN(control_frames_may_come_between_fragments);
    RUN(fragments_that_do_not_follow_each_other_are_refused);
    RUN(a_frame_that_is_not_masked_is_refused);
    RUN(a_mask_of_zeros_is_a_mask);
    RUN(reserved_bits_are_refused);
    RUN(unknown_kinds_are_refused);
    RUN(a_control_frame_is_whole_and_short);
    RUN(a_length_is_written_in_the_shortest_form);
    RUN(messages_of_every_form_of_length_are_read);
    RUN(a_message_that_is_too_long_is_refused_at_its_head);
    RUN(the_limit_is_that_of_all_fragments_together);
    RUN(a_limit_that_shrinks_in_mid_message_is_still_a_limit);
}

int main(void)
{
    run_reader();
    RUN(text_is_utf8_and_may_be_cut_anywhere_in_a_character);
    RUN(text_that_is_not_utf8_is_refused);
    RUN(a_bad_byte_fails_at_once_in_mid_frame);
    RUN(an_idle_reader_owns_nothing);
    RUN(a_whole_frame_is_read_without_a_copy);
    RUN(a_long_conversation_survives_any_pieces);
    RUN(a_server_frame_has_the_shortest_head);
    RUN(only_codes_that_the_rfc_allows_are_sent);
    RUN(the_accept_header_is_that_of_the_rfc);
    return test_end();
}
