/* Numbers, hex and UTF-8. */
#include "base/base.h"

#include "base/text.h"

#include "base/buf.h"
#include "check_span.h"
#include "feed.h"
#include "test.h"

TEST(a_number_is_written_in_decimal)
{
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {{0, "0"}, {9, "9"}, {10, "10"}, {1000, "1000"}, {UINT32_MAX, "4294967295"},
        {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[TEXT_U64];
        CHECK_SPAN(span_of(out, text_u64(out, rows[i].n)), rows[i].text);
    }
}

TEST(only_digits_that_fit_are_a_number)
{
    static const struct {
        const char *text;
        uint64_t n;
    } good[] = {{"0", 0}, {"7", 7}, {"00000000000000000012", 12}, {"4294967296", 4294967296},
        {"18446744073709551615", UINT64_MAX}, {"18446744073709551609", UINT64_MAX - 6}};
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1e3",
        "18446744073709551616", "18446744073709551620", "99999999999999999999",
        "000000000000000000001", "/", ":", "\xd9\xa1"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint64_t n = 1;
        CHECK(text_to_u64(span_str(good[i].text), &n));
        CHECK(n == good[i].n);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint64_t n = 4711;
        CHECK(!text_to_u64(span_str(bad[i]), &n));
        CHECK_EQ(n, 4711);
    }
}

TEST(hex_is_lower_case_and_read_in_both)
{
    unsigned char bytes[256];
    char out[512];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    text_hex(out, bytes, sizeof bytes);
    CHECK_SPAN(span_of(out, 8), "00010203");
    CHECK_SPAN(span_of(out + 504, 8), "fcfdfeff");
    for (int i = 0; i < 256; i++)
        CHECK_EQ(text_unhex(out[2 * i]) * 16 + text_unhex(out[2 * i + 1]), i);
    CHECK_EQ(text_unhex('A'), 10);
    CHECK_EQ(text_unhex('F'), 15);
}

TEST(only_22_characters_are_hex_digits)
{
    int n = 0;
    for (int c = 0; c < 256; c++)
        n += text_unhex((char)c) >= 0;
    CHECK_EQ(n, 22);
    CHECK_EQ(text_unhex('g'), -1);
    CHECK_EQ(text_unhex('@'), -1);
    CHECK_EQ(text_unhex('`'), -1);
    CHECK_EQ(text_unhex('\0'), -1);
}

TEST(case_is_ignored_in_ascii_alone)
{
    CHECK(text_eq_nocase(span_str("Upgrade"), "upgrade"));
    CHECK(text_eq_nocase(span_str("SEC-WEBSOCKET-KEY"), "sec-websocket-key"));
    CHECK(text_eq_nocase(span_str(""), ""));
    CHECK(!text_eq_nocase(span_str("upgrad"), "upgrade"));
    CHECK(!text_eq_nocase(span_str("upgrades"), "upgrade"));
    CHECK(!text_eq_nocase(span_str("\xc3\x84"), "\xc3\xa4"));
    CHECK(!text_eq_nocase(span_str("@"), "`")); // 32 apart, as letters are
    CHECK(!text_eq_nocase(span_str("["), "{"));
}

static void run_utf8(struct feed *f, struct buf *said)
{
    struct utf8 u = {0};
    struct span piece;
    bool is_good = true;
    while (is_good && feed_next(f, &piece))
        is_good = utf8_feed(&u, piece.p, piece.len);
    buf_add_str(said, !is_good ? "bad" : u.need ? "open" : "good");
}

struct sequence {
    struct span bytes;
    const char *said;
};

#define GOOD(s)                                                                                    \
    {                                                                                              \
        LITERAL(s), "good"                                                                         \
    }
#define OPEN(s)                                                                                    \
    {                                                                                              \
        LITERAL(s), "open"                                                                         \
    }
#define BAD(s)                                                                                     \
    {                                                                                              \
        LITERAL(s), "bad"                                                                          \
    }

static const struct sequence sequences[] = {
    GOOD(""),
    GOOD("\0"),
    GOOD("\x7f"),
    BAD("\x80"),
    BAD("\xbf"),
    BAD("\xc0\x80"),
    BAD("\xc1\xbf"),
    /* two bytes */
    OPEN("\xc2"),
    GOOD("\xc2\x80"),
    GOOD("\xc2\xbf"),
    BAD("\xc2\x7f"),
    BAD("\xc2\xc0"),
    GOOD("\xdf\xbf"),
    BAD("\xdf\x41"),
    BAD("\xc2\x80\x80"),
    /* three bytes: shorter forms, then surrogates are left out */
    OPEN("\xe0"),
    OPEN("\xe0\xa0"),
    GOOD("\xe0\xa0\x80"),
    BAD("\xe0\x9f"),
    BAD("\xe0\x80\x80"),
    GOOD("\xe0\xbf\xbf"),
    BAD("\xe0\xc0\x80"),
    GOOD("\xe1\x80\x80"),
    GOOD("\xec\xbf\xbf"),
    GOOD("\xed\x80\x80"),
    GOOD("\xed\x9f\xbf"),
    BAD("\xed\xa0"),
    BAD("\xed\xa0\x80"),
    BAD("\xed\xbf\xbf"),
    GOOD("\xee\x80\x80"),
    GOOD("\xef\xbf\xbd"),
    GOOD("\xef\xbf\xbf"),
    BAD("\xe1\x80\x7f"),
    BAD("\xe1\x80\xc0"),
    BAD("\xe1\x41"),
    /* four bytes: shorter forms, then what lies above U+10FFFF */
    OPEN("\xf0"),
    OPEN("\xf0\x90"),
    OPEN("\xf0\x90\x80"),
    GOOD("\xf0\x90\x80\x80"),
    BAD("\xf0\x8f"),
    BAD("\xf0\x80\x80\x80"),
    GOOD("\xf0\xbf\xbf\xbf"),
    GOOD("\xf1\x80\x80\x80"),
    GOOD("\xf3\xbf\xbf\xbf"),
    GOOD("\xf4\x80\x80\x80"),
    GOOD("\xf4\x8f\xbf\xbf"),
    BAD("\xf4\x90"),
    BAD("\xf4\xbf\xbf\xbf"),
    BAD("\xf5"),
    BAD("\xf5\x80\x80\x80"),
    BAD("\xf8\x88\x80\x80\x80"),
    BAD("\xfc\x84\x80\x80\x80\x80"),
    BAD("\xfe"),
    BAD("\xff"),
    BAD("\xf0\x90\x80\x7f"),
    BAD("\xf0\x90\x41"),
    /* among others */
    GOOD("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z"),
    BAD("a\xc3\xa4\xe2\x82z"),
    BAD("abc\xff"),
    BAD("\xc3\xa4\xc3"
        "\xc3\xa4"),
    OPEN("abc\xe2\x82"),
    BAD("\xed\xa0\xbd\xed\xb8\x80"),
};

TEST(every_edge_of_utf8_is_where_unicode_puts_it)
{
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        const struct sequence *s = &sequences[i];
        CHECK_STR(feed_everywhere(s->bytes, run_utf8), s->said);
        CHECK_EQ(utf8_is_valid(s->bytes), strcmp(s->said, "good") == 0);
    }
}

/* Words of eight bytes are skipped at once where they are ASCII. */
TEST(a_byte_is_judged_alike_at_every_offset)
{
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        const struct sequence *s = &sequences[i];
        for (size_t before = 0; before < 18; before++) {
            struct buf text = {0};
            buf_addf(&text, "%.*s", (int)before, "abcdefghijklmnopqr");
            buf_add_span(&text, s->bytes);
            CHECK_EQ(utf8_is_valid(buf_span(&text)), strcmp(s->said, "good") == 0);
            bool is_cut = strcmp(s->said, "open") == 0;
            buf_add_str(&text, "stuvwxyz01");
            CHECK_EQ(utf8_is_valid(buf_span(&text)), !is_cut && strcmp(s->said, "good") == 0);
            buf_fini(&text);
        }
    }
}

static size_t encode(unsigned char *out, uint32_t c)
{
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = more; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(lead[more] | c);
    return more + 1;
}

TEST(all_scalar_values_are_valid_and_surrogates_are_not)
{
    unsigned n_wrong = 0;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        unsigned char bytes[4];
        size_t n = encode(bytes, c);
        bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
        n_wrong += utf8_is_valid(span_of((const char *)bytes, n)) == is_surrogate;
    }
    CHECK_EQ(n_wrong, 0);
}

TEST(characters_are_counted_not_bytes)
{
    CHECK_EQ(utf8_chars(span_str("")), 0);
    CHECK_EQ(utf8_chars(span_str("abc")), 3);
    CHECK_EQ(utf8_chars(span_str("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z")), 5);
}

int main(void)
{
    RUN(a_number_is_written_in_decimal);
    RUN(only_digits_that_fit_are_a_number);
    RUN(hex_is_lower_case_and_read_in_both);
    RUN(only_22_characters_are_hex_digits);
    RUN(case_is_ignored_in_ascii_alone);
    RUN(every_edge_of_utf8_is_where_unicode_puts_it);
    RUN(a_byte_is_judged_alike_at_every_offset);
    RUN(all_scalar_values_are_valid_and_surrogates_are_not);
    RUN(characters_are_counted_not_bytes);
    return test_end();
}
