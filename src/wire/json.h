/* json.h - JSON read in place (RFC 8259).
 *
 * A text is checked once, whole: grammar, UTF-8, depth.  After that values are slices of it,
 * so what a client sent as data can be passed on without being decoded and encoded again.
 * Escaped halves of surrogate pairs are legal in the grammar and stay as they are in a slice;
 * only decoding refuses them.  Of duplicate names the last one counts, as in JSON.parse.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/base.h"
#include "base/buf.h"

enum { JSON_DEPTH = 64 };

enum json_kind {
    JSON_ABSENT,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_KINDS
};

struct json {
    enum json_kind kind;
    bool is_escaped; // of a string: holds a backslash
    struct span raw; // the slice; of a string with its quotes
};

/* A member that the caller wants. */
struct json_field {
    const char *name;
    struct json value; // JSON_ABSENT when there is none
};

/* True when text is one valid JSON value, blanks around it allowed. */
bool json_parse(struct span text, struct json *value) MUST_CHECK;

/* The same in one pass, and when the value is an object its fields are filled. */
bool json_parse_fields(
    struct span text, struct json *value, struct json_field *fields, size_t n_fields) MUST_CHECK;

/* The fields of an object that is part of a parsed text. */
void json_fields(const struct json *object, struct json_field *fields, size_t n_fields);

/* The items of an array, or the members of an object, of a parsed text: at starts at 0. */
bool json_next(const struct json *array, size_t *at, struct json *item);
bool json_next_member(const struct json *object, size_t *at, struct json *name, struct json *item);

/* A string between its quotes, still escaped. */
struct span json_inner(const struct json *string);

/* Bytes of UTF-8 that the decoded string has; a lone surrogate counts three. */
size_t json_string_bytes(const struct json *string);

/* The decoded string: a slice of the text where nothing is escaped, else written behind
 * what scratch holds.  False when it holds half a surrogate pair. */
bool json_decode(const struct json *string, struct buf *scratch, struct span *out) MUST_CHECK;

/* Appends bytes (valid UTF-8) escaped for use inside a JSON string, without quotes. */
void json_escape(struct buf *out, struct span bytes);

/* The same with quotes. */
void json_quote(struct buf *out, struct span bytes);

#endif
