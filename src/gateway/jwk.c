/* Keys over OpenSSL's EVP. */
#include "base/base.h"

#include "gateway/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "wire/json.h"

enum {
    RSA_MIN_BITS = 2048,
    RSA_MAX_BITS = 8192, // a longer one costs every request too much
    EXPONENT_MAX_BYTES = 8,
    ED25519_BYTES = 32
};

enum alg_kind { KIND_MAC, KIND_RSA, KIND_PSS, KIND_EC, KIND_ED };

static const struct {
    const char *name;
    enum alg_kind kind;
    const char *digest;
    size_t min_secret;         // as long as the digest (RFC 7518 3.2)
    const char *curve, *group; // as a JWK and as OpenSSL call it
    size_t coordinate;         // bytes of one on that curve
} algs[JWT_ALGS] = {
    [JWT_HS256] = {"HS256", KIND_MAC, "SHA256", 32, NULL, NULL, 0},
    [JWT_HS384] = {"HS384", KIND_MAC, "SHA384", 48, NULL, NULL, 0},
    [JWT_HS512] = {"HS512", KIND_MAC, "SHA512", 64, NULL, NULL, 0},
    [JWT_RS256] = {"RS256", KIND_RSA, "SHA256", 0, NULL, NULL, 0},
    [JWT_RS384] = {"RS384", KIND_RSA, "SHA384", 0, NULL, NULL, 0},
    [JWT_RS512] = {"RS512", KIND_RSA, "SHA512", 0, NULL, NULL, 0},
    [JWT_PS256] = {"PS256", KIND_PSS, "SHA256", 0, NULL, NULL, 0},
    [JWT_PS384] = {"PS384", KIND_PSS, "SHA384", 0, NULL, NULL, 0},
    [JWT_PS512] = {"PS512", KIND_PSS, "SHA512", 0, NULL, NULL, 0},
    [JWT_ES256] = {"ES256", KIND_EC, "SHA256", 0, "P-256", "prime256v1", 32},
    [JWT_ES384] = {"ES384", KIND_EC, "SHA384", 0, "P-384", "secp384r1", 48},
    [JWT_ES512] = {"ES512", KIND_EC, "SHA512", 0, "P-521", "secp521r1", 66},
    [JWT_EDDSA] = {"EdDSA", KIND_ED, NULL, 0, NULL, NULL, 0},
};

const char *jwt_alg_name(enum jwt_alg alg)
{
    return algs[alg].name;
}

bool jwt_alg_find(struct span name, enum jwt_alg *alg)
{
    for (int i = 0; i < JWT_ALGS; i++)
        if (span_is(name, algs[i].name)) {
            *alg = (enum jwt_alg)i;
            return true;
        }
    return false;
}

static bool is_symmetric(enum jwt_alg alg)
{
    return algs[alg].kind == KIND_MAC;
}

void jwt_key_fini(struct jwt_key *key)
{
    if (key->secret)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    free(key->kid);
    EVP_PKEY_free(key->pkey);
    *key = (struct jwt_key){0};
}

/* --- making ------------------------------------------------------------------------------------ */

static void begin(struct jwt_key *key, enum jwt_alg alg, struct span kid)
{
    *key = (struct jwt_key){.alg = alg, .kid = kid.len ? mem_dup(kid.p, kid.len) : NULL};
}

bool jwt_key_from_secret(
    struct jwt_key *key, enum jwt_alg alg, struct span kid, struct span secret, struct err *err)
{
    if (!is_symmetric(alg))
        return err_set(err, 0, "%s wants a public key, not a secret", algs[alg].name);
    if (secret.len < algs[alg].min_secret)
        return err_set(err, 0, "a secret for %s has at least %zu bytes, this one %zu",
            algs[alg].name, algs[alg].min_secret, secret.len);
    begin(key, alg, kid);
    key->secret = mem_dup(secret.p, secret.len);
    key->secret_len = secret.len;
    return true;
}

/* Keys that some smart cards and modules made, whose primes can be found (CVE-2017-15361): the
 * remainder of the modulus is a power of 65537 for every small prime. */
static bool is_roca(const BIGNUM *modulus)
{
    static const unsigned char primes[] = {3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53,
        59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151,
        157, 163, 167};
    for (size_t i = 0; i < COUNT_OF(primes); i++) {
        BN_ULONG p = primes[i];
        BN_ULONG rest = BN_mod_word(modulus, p);
        BN_ULONG power = 1;
        for (BN_ULONG n = 0; n < p && power != rest; n++)
            power = power * 65537 % p;
        if (power != rest)
            return false;
    }
    return true;
}

/* What EVP_PKEY_public_check leaves open: anybody signs for an exponent of 1. */
static bool check_rsa_numbers(const EVP_PKEY *pkey, struct err *err)
{
    BIGNUM *modulus = NULL;
    BIGNUM *exponent = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 &&
              EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1;
    if (!ok || !BN_is_odd(modulus) || !BN_is_odd(exponent) || BN_is_one(exponent) ||
        BN_num_bytes(exponent) > EXPONENT_MAX_BYTES)
        ok = err_set(err, 0, "the RSA key's modulus or exponent is none");
    else if (is_roca(modulus))
        ok = err_set(err, 0, "the RSA key is one whose primes can be found (ROCA)");
    BN_free(modulus);
    BN_free(exponent);
    return ok;
}

static bool check_rsa(const struct jwt_key *key, struct err *err)
{
    int bits = EVP_PKEY_get_bits(key->pkey);
    if (!EVP_PKEY_is_a(key->pkey, "RSA") && !EVP_PKEY_is_a(key->pkey, "RSA-PSS"))
        return err_set(err, 0, "%s wants an RSA key", algs[key->alg].name);
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return err_set(
            err, 0, "the RSA key has %d bits, expected %d to %d", bits, RSA_MIN_BITS, RSA_MAX_BITS);
    return check_rsa_numbers(key->pkey, err);
}

/* The key is of the kind that its algorithm wants. */
static bool check_kind(const struct jwt_key *key, struct err *err)
{
    char group[32] = "";
    switch (algs[key->alg].kind) {
    case KIND_RSA:
    case KIND_PSS:
        return check_rsa(key, err);
    case KIND_EC:
        if (EVP_PKEY_is_a(key->pkey, "EC") &&
            EVP_PKEY_get_group_name(key->pkey, group, sizeof group, NULL) &&
            strcmp(group, algs[key->alg].group) == 0)
            return true;
        return err_set(
            err, 0, "%s wants a key on the curve %s", algs[key->alg].name, algs[key->alg].curve);
    case KIND_ED:
        return EVP_PKEY_is_a(key->pkey, "ED25519") || err_set(err, 0, "EdDSA wants an Ed25519 key");
    case KIND_MAC:
        break;
    }
    return err_set(err, 0, "%s wants a secret, not a public key", algs[key->alg].name);
}

/* And strong enough. */
static bool check_public(const struct jwt_key *key, struct err *err)
{
    if (!check_kind(key, err))
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_public_check(ctx) > 0;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok || err_set(err, 0, "the key's numbers are not those of a good key");
}

/* Takes pkey. */
static bool finish(struct jwt_key *key, EVP_PKEY *pkey, struct err *err)
{
    key->pkey = pkey;
    ERR_clear_error();
    if (!pkey)
        (void)err_set(err, 0, "the key is malformed");
    else if (check_public(key, err))
        return true;
    jwt_key_fini(key);
    return false;
}

bool jwt_key_from_pem(
    struct jwt_key *key, enum jwt_alg alg, struct span kid, struct span pem, struct err *err)
{
    begin(key, alg, kid);
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!pkey) {
        bio = BIO_new_mem_buf(pem.p, (int)pem.len);
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        pkey = certificate ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
        BIO_free(bio);
    }
    return finish(key, pkey, err);
}

/* --- JWK ------------------------------------------------------------------------------------------ */

enum { KTY, ALG, KID, USE, KEY_OPS, CRV, X, Y, N, E, K, FIELDS };

struct jwk {
    struct json_field fields[FIELDS];
    struct buf text; // decoded strings
};

/* The member as text; empty when it is absent or no string. */
static struct span text_of(struct jwk *jwk, int field)
{
    struct span text;
    const struct json *value = &jwk->fields[field].value;
    if (value->kind != JSON_STRING || !json_decode(value, &jwk->text, &text))
        return span_of(NULL, 0);
    return text;
}

/* A base64url member's bytes, appended to out. */
static bool bytes_of(struct jwk *jwk, int field, struct buf *out)
{
    struct span text = text_of(jwk, field);
    return text.len && base64url_decode(text, out) && out->len;
}

static bool may_verify(struct jwk *jwk)
{
    struct json item;
    size_t at = 0;
    const struct json *ops = &jwk->fields[KEY_OPS].value;
    if (jwk->fields[USE].value.kind != JSON_ABSENT && !span_is(text_of(jwk, USE), "sig"))
        return false;
    if (ops->kind == JSON_ABSENT)
        return true;
    if (ops->kind != JSON_ARRAY)
        return false;
    while (json_next(ops, &at, &item))
        if (item.kind == JSON_STRING && span_is(item.raw, "\"verify\""))
            return true;
    return false;
}

/* Of a key on a curve. */
static bool curve_of(struct span crv, enum jwt_alg *alg)
{
    for (int i = 0; i < JWT_ALGS; i++)
        if (algs[i].curve && span_is(crv, algs[i].curve)) {
            *alg = (enum jwt_alg)i;
            return true;
        }
    return false;
}

static bool alg_of(struct jwk *jwk, enum jwt_alg *alg)
{
    struct span kty = text_of(jwk, KTY);
    struct span crv = text_of(jwk, CRV);
    if (jwk->fields[ALG].value.kind != JSON_ABSENT)
        return jwt_alg_find(text_of(jwk, ALG), alg);
    if (span_is(kty, "oct"))
        *alg = JWT_HS256;
    else if (span_is(kty, "RSA"))
        *alg = JWT_RS256;
    else if (span_is(kty, "EC") && curve_of(crv, alg))
        return true;
    else if (span_is(kty, "OKP") && span_is(crv, "Ed25519"))
        *alg = JWT_EDDSA;
    else
        return false;
    return true;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *make_ec(struct jwk *jwk, enum jwt_alg alg)
{
    struct buf point = {0};
    EVP_PKEY *pkey = NULL;
    char group[32];
    size_t n = algs[alg].coordinate;
    buf_add_char(&point, 4); // uncompressed
    bool ok = algs[alg].curve && span_is(text_of(jwk, CRV), algs[alg].curve) &&
              bytes_of(jwk, X, &point) && point.len == 1 + n && bytes_of(jwk, Y, &point) &&
              point.len == 1 + 2 * n;
    if (ok) {
        snprintf(group, sizeof group, "%s", algs[alg].group);
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len),
            OSSL_PARAM_construct_end()};
        pkey = from_params("EC", params);
    }
    buf_fini(&point);
    return pkey;
}

static EVP_PKEY *make_okp(struct jwk *jwk)
{
    struct buf x = {0};
    EVP_PKEY *pkey = NULL;
    if (span_is(text_of(jwk, CRV), "Ed25519") && bytes_of(jwk, X, &x) && x.len == ED25519_BYTES)
        pkey =
            EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.len);
    buf_fini(&x);
    return pkey;
}

static EVP_PKEY *make_rsa(struct jwk *jwk)
{
    struct buf n = {0};
    struct buf e = {0};
    EVP_PKEY *pkey = NULL;
    if (bytes_of(jwk, N, &n) && bytes_of(jwk, E, &e) && n.len <= RSA_MAX_BITS / 8 &&
        e.len <= EXPONENT_MAX_BYTES) {
        BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.len, NULL);
        BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.len, NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
        pkey = from_params("RSA", params);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(builder);
        BN_free(modulus);
        BN_free(exponent);
    }
    buf_fini(&n);
    buf_fini(&e);
    return pkey;
}

static bool make_secret(struct jwt_key *key, struct jwk *jwk, enum jwt_alg alg, struct err *err)
{
    struct buf k = {0};
    bool is_good = span_is(text_of(jwk, KTY), "oct") && bytes_of(jwk, K, &k);
    if (!is_good)
        (void)err_set(err, 0, "%s wants a key of type oct with its k", algs[alg].name);
    else
        is_good = jwt_key_from_secret(key, alg, text_of(jwk, KID), buf_span(&k), err);
    if (k.len)
        OPENSSL_cleanse(k.p, k.len);
    buf_fini(&k);
    return is_good;
}

static bool make_public(struct jwt_key *key, struct jwk *jwk, enum jwt_alg alg, struct err *err)
{
    struct span kty = text_of(jwk, KTY);
    EVP_PKEY *pkey = NULL;
    begin(key, alg, text_of(jwk, KID));
    if (span_is(kty, "EC"))
        pkey = make_ec(jwk, alg);
    else if (span_is(kty, "OKP"))
        pkey = make_okp(jwk);
    else if (span_is(kty, "RSA"))
        pkey = make_rsa(jwk);
    return finish(key, pkey, err);
}

/* The key is one for signatures that are known here; otherwise err says what it is for. */
static bool is_ours(struct jwk *jwk, enum jwt_alg *alg, struct err *err)
{
    if (!may_verify(jwk))
        return err_set(err, 0, "the key's use or key_ops does not allow verifying");
    return alg_of(jwk, alg) || err_set(err, 0, "the key's algorithm is none that is known here");
}

enum jwk_result jwt_key_from_jwk(struct jwt_key *key, struct span json, struct err *err)
{
    struct jwk jwk = {
        .fields = {{"kty", {0}}, {"alg", {0}}, {"kid", {0}}, {"use", {0}}, {"key_ops", {0}},
            {"crv", {0}}, {"x", {0}}, {"y", {0}}, {"n", {0}}, {"e", {0}}, {"k", {0}}}};
    struct json root;
    enum jwt_alg alg = JWT_ALGS;
    enum jwk_result result = JWK_BAD;
    *key = (struct jwt_key){0};
    (void)buf_room(&jwk.text, json.len * 4 + 64); // so that slices of it stay where they are
    if (!json_parse_fields(json, &root, jwk.fields, FIELDS) || root.kind != JSON_OBJECT)
        (void)err_set(err, 0, "the key is not a JSON object");
    else if (!is_ours(&jwk, &alg, err))
        result = JWK_OTHER;
    else if (is_symmetric(alg) ? make_secret(key, &jwk, alg, err)
                               : make_public(key, &jwk, alg, err))
        result = JWK_OK;
    buf_fini(&jwk.text);
    return result;
}

/* --- use ------------------------------------------------------------------------------------------- */

size_t jwt_key_sign(const struct jwt_key *key, struct span text, unsigned char out[JWT_MAC_MAX])
{
    size_t n = 0;
    ENSURE(is_symmetric(key->alg));
    bool ok =
        EVP_Q_mac(NULL, "HMAC", NULL, algs[key->alg].digest, NULL, key->secret, key->secret_len,
            (const unsigned char *)text.p, text.len, out, JWT_MAC_MAX, &n) != NULL;
    ENSURE(ok);
    return n;
}

static bool verify_mac(const struct jwt_key *key, struct span text, struct span signature)
{
    unsigned char mac[JWT_MAC_MAX];
    size_t n = jwt_key_sign(key, text, mac);
    return signature.len == n && CRYPTO_memcmp(mac, signature.p, n) == 0;
}

/* r and s side by side as OpenSSL wants them.  Bytes of DER in *der, the caller's to free. */
static int wrap_ecdsa(struct span signature, size_t coordinate, unsigned char **der)
{
    if (signature.len != 2 * coordinate)
        return -1;
    const unsigned char *bytes = (const unsigned char *)signature.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(bytes, (int)coordinate, NULL),
        BN_bin2bn(bytes + coordinate, (int)coordinate, NULL));
    int n = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return n;
}

static bool verify_public(const struct jwt_key *key, struct span text, struct span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    const EVP_MD *digest =
        algs[key->alg].digest ? EVP_get_digestbyname(algs[key->alg].digest) : NULL;
    bool ok = EVP_DigestVerifyInit(ctx, &how, digest, NULL, key->pkey) == 1;
    if (ok && algs[key->alg].kind == KIND_PSS)
        ok = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(how, digest) == 1;
    ok = ok && EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.len,
                   (const unsigned char *)text.p, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

bool jwt_key_verify(const struct jwt_key *key, struct span text, struct span signature)
{
    if (is_symmetric(key->alg))
        return verify_mac(key, text, signature);
    if (algs[key->alg].kind != KIND_EC)
        return verify_public(key, text, signature);
    unsigned char *der = NULL;
    int n = wrap_ecdsa(signature, algs[key->alg].coordinate, &der);
    bool ok = n > 0 && verify_public(key, text, span_of((const char *)der, (size_t)n));
    OPENSSL_free(der);
    return ok;
}
