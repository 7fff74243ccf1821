/* text.h - numbers, hex and UTF-8. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/base.h"

enum { TEXT_U64 = 20 };

/* Decimal digits of n, no NUL; returns how many (at most TEXT_U64). */
size_t text_u64(char *out, uint64_t n);

/* True when s is nothing but 1 to 20 digits and fits. */
bool text_to_u64(struct span s, uint64_t *n) MUST_CHECK;

void text_hex(char *out, const unsigned char *bytes, size_t n); // lower case, 2n characters

/* The value of a hex digit, or -1. */
int text_unhex(char c);

bool text_eq_nocase(struct span a, const char *lower); // ASCII; lower is in lower case

/* UTF-8 checked in pieces.  Zero is the start of a character. */
struct utf8 {
    uint8_t need;   // continuation bytes still to come
    uint8_t lo, hi; // what the next one may be
};

/* False as soon as the bytes cannot be the start of valid UTF-8. */
bool utf8_feed(struct utf8 *u, const char *p, size_t len) MUST_CHECK;

/* The whole of s is valid UTF-8. */
bool utf8_is_valid(struct span s) MUST_CHECK;

size_t utf8_chars(struct span s); // code points of valid UTF-8

#endif
