/* jwt.h - bearer tokens: signed JSON (RFC 7515, 7519), verified strictly.
 *
 * Nothing that a token says about its own key is followed: jku, jwk, x5u and x5c are not read.
 * A header with crit or b64 is refused, as are names that stand twice, base64url with padding,
 * and a token of more than JWT_MAX bytes.
 */
#ifndef GATEWAY_JWT_H
#define GATEWAY_JWT_H

#include "base/base.h"
#include "base/buf.h"
#include "gateway/jwk.h"
#include "wire/json.h"

enum { JWT_MAX = 8192, JWT_CLAIM_NAMES = 4, JWT_KEYS_MAX = 64 };

enum jwt_result {
#define JWT(name, detail, sentence) JWT_##name,
#include "gateway/jwt_results.def"
#undef JWT
    JWT_RESULTS
};

/* What the caller is told, and what the log says. */
const char *jwt_detail(enum jwt_result result);
const char *jwt_sentence(enum jwt_result result);

struct jwt_rules {
    struct jwt_key *keys;
    size_t n_keys;
    char *issuer, *audience; // NULL = any
    uint32_t leeway_s;       // 30
    /* Which claims say who it is: the first that is there counts. */
    char *id_claims[JWT_CLAIM_NAMES], *name_claims[JWT_CLAIM_NAMES], *role_claims[JWT_CLAIM_NAMES];
    char *default_role;
};

/* Who calls.  Everything points into text. */
struct caller {
    bool is_known; // false = no token
    struct span id, name, role;
    struct json claims; // the payload, an object
    int64_t expires_s;
    struct buf text;
};

void caller_fini(struct caller *c);

/* A copy that outlives the rules, too. */
void caller_copy(struct caller *to, const struct caller *from);

/* Fills *out exactly when OK.  now_s: UNIX time. */
enum jwt_result jwt_verify(
    const struct jwt_rules *rules, struct span token, int64_t now_s, struct caller *out) MUST_CHECK;

/* The signature alone, over whatever payload: for `carillon jws-verify`. */
enum jwt_result jws_verify(
    const struct jwt_key *keys, size_t n_keys, struct span token, struct buf *payload) MUST_CHECK;

/* Appends a token with these claims (a JSON object), signed by a HS* key. */
void jwt_mint(const struct jwt_key *key, struct span claims, struct buf *out);

/* A claim's value, JSON_ABSENT when there is none. */
struct json jwt_claim(const struct json *claims, const char *name);

void jwt_rules_fini(struct jwt_rules *rules);

#endif
