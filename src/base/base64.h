/* base64.h - base64url without padding (RFC 4648 5), read strictly. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/base.h"
#include "base/buf.h"

/* Appends the decoded bytes.  False for any other character, padding, a length that cannot
 * be, or bits that are left over and not zero: each value has exactly one spelling. */
bool base64url_decode(struct span text, struct buf *out) MUST_CHECK;

/* Appends the text. */
void base64url_encode(struct span bytes, struct buf *out);

#endif
