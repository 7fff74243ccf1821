/* No token that was not minted here is taken; one that was says what was put into it. */
#include "base/base.h"

#include <stdint.h>
#include <stdlib.h>

#include "gateway/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jwt_key key;
static struct jwt_rules rules;
static char id_claim[] = "sub";
static char role[] = "student";

static void set_up(void)
{
    struct err err;
    bool ok = jwt_key_from_secret(&key, JWT_HS256, span_of(NULL, 0),
        span_str("a secret that nobody guesses, not even a fuzzer"), &err);
    ENSURE(ok);
    rules = (struct jwt_rules){
        .keys = &key, .n_keys = 1, .leeway_s = 30, .id_claims = {id_claim}, .default_role = role};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    struct caller caller;
    struct jwt_key other;
    struct err err;
    struct buf token = {0};
    struct buf payload = {0};
    if (!key.secret)
        set_up();
    ENSURE(jwt_verify(&rules, input, 1000, &caller) != JWT_OK);
    if (jwt_key_from_jwk(&other, input, &err) == JWK_OK)
        jwt_key_fini(&other);
    jwt_mint(&key, input, &token);
    if (token.len <= JWT_MAX) {
        ENSURE(jws_verify(&key, 1, buf_span(&token), &payload) == JWT_OK);
        ENSURE(span_eq(buf_span(&payload), input));
        if (jwt_verify(&rules, buf_span(&token), 1000, &caller) == JWT_OK) {
            ENSURE(caller.id.len && caller.expires_s >= 970);
            caller_fini(&caller);
        }
    }
    buf_fini(&token);
    buf_fini(&payload);
    return 0;
}
