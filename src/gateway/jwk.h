/* jwk.h - keys that verify signatures of tokens, each for one algorithm (RFC 7517, 7518).
 *
 * What a key may be used for is a property of the key, never of the token: a token that names
 * another algorithm than its key's is refused before any signature is looked at.
 */
#ifndef GATEWAY_JWK_H
#define GATEWAY_JWK_H

#include "base/base.h"
#include "base/err.h"

enum jwt_alg {
    JWT_HS256,
    JWT_HS384,
    JWT_HS512,
    JWT_RS256,
    JWT_RS384,
    JWT_RS512,
    JWT_PS256,
    JWT_PS384,
    JWT_PS512,
    JWT_ES256,
    JWT_ES384,
    JWT_ES512,
    JWT_EDDSA,
    JWT_ALGS
};

struct evp_pkey_st;

struct jwt_key {
    char *kid; // NULL = none
    enum jwt_alg alg;
    char *secret; // HS*: the bytes; wiped at the end
    size_t secret_len;
    struct evp_pkey_st *pkey; // the others
};

const char *jwt_alg_name(enum jwt_alg alg);
bool jwt_alg_find(struct span name, enum jwt_alg *alg) MUST_CHECK;

/* Each fills *key; false with a sentence when the key is malformed, too weak, or not for
 * that algorithm.  kid may be empty. */
bool jwt_key_from_secret(struct jwt_key *key, enum jwt_alg alg, struct span kid, struct span secret,
    struct err *err) MUST_CHECK;
bool jwt_key_from_pem(struct jwt_key *key, enum jwt_alg alg, struct span kid, struct span pem,
    struct err *err) MUST_CHECK;

/* A JWK.  Its algorithm is its "alg", else what kty and crv say: EC ES256, ES384 or ES512 by
 * its curve, OKP Ed25519 EdDSA, an RSA key RS256 and a secret HS256. */
enum jwk_result {
    JWK_OK,    // *key is filled
    JWK_OTHER, // a key for something else: err says what; a set may hold such (RFC 7517 5)
    JWK_BAD    // malformed, or too weak: err says why
};
enum jwk_result jwt_key_from_jwk(struct jwt_key *key, struct span json, struct err *err) MUST_CHECK;

void jwt_key_fini(struct jwt_key *key);

/* True when signature (its bytes) is the key's for that text. */
bool jwt_key_verify(const struct jwt_key *key, struct span text, struct span signature) MUST_CHECK;

/* The HMAC of text; HS* only.  Returns its length. */
enum { JWT_MAC_MAX = 64 };
size_t jwt_key_sign(const struct jwt_key *key, struct span text, unsigned char out[JWT_MAC_MAX]);

#endif
