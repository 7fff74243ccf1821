/* HMAC-SHA256 with prepared key pads. */
/* The block functions: OpenSSL 3's HMAC() looks its algorithm up at each call, ten times the
 * work of signing. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/base.h"

#include "wire/sign.h"

#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "base/text.h"

_Static_assert(sizeof(SHA_LONG) == sizeof(uint32_t), "SHA-256 words are 32 bits");

static void save_pad(uint32_t *state, const unsigned char *key, unsigned char pad)
{
    unsigned char block[SHA256_CBLOCK];
    SHA256_CTX ctx;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, block, sizeof block);
    memcpy(state, ctx.h, sizeof ctx.h);
    OPENSSL_cleanse(block, sizeof block);
}

void sign_key_init(struct sign_key *k, struct span secret)
{
    unsigned char key[SHA256_CBLOCK] = {0};
    if (secret.len > sizeof key)
        SHA256((const unsigned char *)secret.p, secret.len, key);
    else if (secret.len)
        memcpy(key, secret.p, secret.len);
    save_pad(k->inner, key, 0x36);
    save_pad(k->outer, key, 0x5c);
    OPENSSL_cleanse(key, sizeof key);
}

static void resume(SHA256_CTX *ctx, const uint32_t *state)
{
    SHA256_Init(ctx);
    memcpy(ctx->h, state, sizeof ctx->h);
    ctx->Nl = SHA256_CBLOCK * 8; // one block has been hashed
}

void sign_hex(const struct sign_key *k, const struct span *parts, size_t n_parts, char *hex)
{
    SHA256_CTX ctx;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    resume(&ctx, k->inner);
    for (size_t i = 0; i < n_parts; i++)
        if (parts[i].len)
            SHA256_Update(&ctx, parts[i].p, parts[i].len);
    SHA256_Final(digest, &ctx);
    resume(&ctx, k->outer);
    SHA256_Update(&ctx, digest, sizeof digest);
    SHA256_Final(digest, &ctx);
    text_hex(hex, digest, sizeof digest);
}

bool sign_check(
    const struct sign_key *k, const struct span *parts, size_t n_parts, struct span given)
{
    char want[SIGN_HEX];
    char got[SIGN_HEX];
    if (given.len != SIGN_HEX)
        return false;
    for (size_t i = 0; i < SIGN_HEX; i++) {
        char c = given.p[i];
        got[i] = c >= 'A' && c <= 'F' ? (char)(c + ('a' - 'A')) : c;
    }
    sign_hex(k, parts, n_parts, want);
    return CRYPTO_memcmp(want, got, SIGN_HEX) == 0;
}

void sign_md5_hex(struct span body, char *hex)
{
    unsigned char digest[MD5_DIGEST_LENGTH];
    MD5((const unsigned char *)body.p, body.len, digest);
    text_hex(hex, digest, sizeof digest);
}

bool sign_self_check(void)
{
    /* Test case 2 of RFC 4231, and the MD5 of nothing. */
    static const char hmac[] = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    static const char md5[] = "d41d8cd98f00b204e9800998ecf8427e";
    struct sign_key key;
    char hex[MD5_HEX];
    struct span text = span_str("what do ya want for nothing?");
    sign_key_init(&key, span_str("Jefe"));
    sign_md5_hex(span_of("", 0), hex);
    return sign_check(&key, &text, 1, span_str(hmac)) && memcmp(hex, md5, sizeof hex) == 0;
}
