/* sign.h - the signatures of the Channels protocol (pusher-protocol 4.1 and 5.2).
 *
 * HMAC-SHA256 in lower-case hex, compared in constant time.  A sign_key holds the two
 * SHA-256 states that depend on the secret alone, so a signature of a short string costs
 * two compressions and no allocation.
 */
#ifndef WIRE_SIGN_H
#define WIRE_SIGN_H

#include "base/base.h"

enum { SIGN_HEX = 64, MD5_HEX = 32, SIGN_STATE_WORDS = 8 };

struct sign_key {
    uint32_t inner[SIGN_STATE_WORDS]; // SHA-256 state after the block secret ^ 0x36...
    uint32_t outer[SIGN_STATE_WORDS]; // the same with 0x5c...
};

void sign_key_init(struct sign_key *k, struct span secret);

/* Writes SIGN_HEX characters, no NUL.  The parts are signed as if joined. */
void sign_hex(const struct sign_key *k, const struct span *parts, size_t n_parts, char *hex);

/* True when given is that signature, in lower or upper case.  Constant time in the
 * signature's content. */
bool sign_check(const struct sign_key *k, const struct span *parts, size_t n_parts,
    struct span given) MUST_CHECK;

/* Signs a known text: true when this build and its libcrypto do what everyone else does. */
bool sign_self_check(void) MUST_CHECK;

/* MD5 of a body in lower-case hex: MD5_HEX characters, no NUL. */
void sign_md5_hex(struct span body, char *hex);

#endif
