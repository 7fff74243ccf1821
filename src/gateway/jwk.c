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
#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "wire/json.h"

enum {
    RSA_MIN_BITS = 2048,
    RSA_MAX_BITS = 8192, // a longer one costs every request too much
    EXPONENT_MAX_BYTES = 8,
    COORDINATE = 32, // bytes of a P-256 coordinate, and of an Ed25519 key
    SIGNATURE = 64   // bytes of their signatures
};

static const struct {
    const char *name;
    const char *digest;
    size_t min_secret; // as long as the digest (RFC 7518 3.2)
} algs[JWT_ALGS] = {[JWT_HS256] = {"HS256", "SHA256", 32},
    [JWT_HS384] = {"HS384", "SHA384", 48},
    [JWT_HS512] = {"HS512", "SHA512", 64},
    [JWT_RS256] = {"RS256", "SHA256", 0},
    [JWT_PS256] = {"PS256", "SHA256", 0},
    [JWT_ES256] = {"ES256", "SHA256", 0},
    [JWT_EDDSA] = {"EdDSA", NULL, 0}};

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
    return alg == JWT_HS256 || alg == JWT_HS384 || alg == JWT_HS512;
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

/* The key is of the kind that its algorithm wants, and strong enough. */
static bool check_public(const struct jwt_key *key, struct err *err)
{
    const EVP_PKEY *pkey = key->pkey;
    int bits = EVP_PKEY_get_bits(pkey);
    char group[32] = "";
    switch (key->alg) {
    case JWT_RS256:
    case JWT_PS256:
        if (!EVP_PKEY_is_a(pkey, "RSA") && !EVP_PKEY_is_a(pkey, "RSA-PSS"))
            return err_set(err, 0, "%s wants an RSA key", algs[key->alg].name);
        if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
            return err_set(err, 0, "the RSA key has %d bits, expected %d to %d", bits, RSA_MIN_BITS,
                RSA_MAX_BITS);
        return true;
    case JWT_ES256:
        if (!EVP_PKEY_is_a(pkey, "EC") ||
            !EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) ||
            strcmp(group, "prime256v1") != 0)
            return err_set(err, 0, "ES256 wants a key on the curve P-256");
        return true;
    case JWT_EDDSA:
        if (!EVP_PKEY_is_a(pkey, "ED25519"))
            return err_set(err, 0, "EdDSA wants an Ed25519 key");
        return true;
    case JWT_HS256:
    case JWT_HS384:
    case JWT_HS512:
    case JWT_ALGS:
        break;
    }
    return err_set(err, 0, "%s wants a secret, not a public key", algs[key->alg].name);
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
    else if (span_is(kty, "EC") && span_is(crv, "P-256"))
        *alg = JWT_ES256;
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
    if (!pkey)
        return NULL;
    ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool is_good = EVP_PKEY_public_check(ctx) > 0;
    EVP_PKEY_CTX_free(ctx);
    if (is_good)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static EVP_PKEY *make_ec(struct jwk *jwk)
{
    struct buf point = {0};
    EVP_PKEY *pkey = NULL;
    char group[] = "P-256";
    buf_add_char(&point, 4); // uncompressed
    bool ok = span_is(text_of(jwk, CRV), "P-256") && bytes_of(jwk, X, &point) &&
              point.len == 1 + COORDINATE && bytes_of(jwk, Y, &point) &&
              point.len == 1 + 2 * COORDINATE;
    if (ok) {
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
    if (span_is(text_of(jwk, CRV), "Ed25519") && bytes_of(jwk, X, &x) && x.len == COORDINATE)
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
        e.len <= EXPONENT_MAX_BYTES && (n.p[n.len - 1] & 1) && (e.p[e.len - 1] & 1)) {
        BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.len, NULL);
        BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.len, NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
        if (!BN_is_one(exponent))
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
        pkey = make_ec(jwk);
    else if (span_is(kty, "OKP"))
        pkey = make_okp(jwk);
    else if (span_is(kty, "RSA"))
        pkey = make_rsa(jwk);
    return finish(key, pkey, err);
}

bool jwt_key_from_jwk(struct jwt_key *key, struct span json, struct err *err)
{
    struct jwk jwk = {
        .fields = {{"kty", {0}}, {"alg", {0}}, {"kid", {0}}, {"use", {0}}, {"key_ops", {0}},
            {"crv", {0}}, {"x", {0}}, {"y", {0}}, {"n", {0}}, {"e", {0}}, {"k", {0}}}};
    struct json root;
    enum jwt_alg alg = JWT_ALGS;
    bool is_good = false;
    *key = (struct jwt_key){0};
    (void)buf_room(&jwk.text, json.len * 4 + 64); // so that slices of it stay where they are
    if (!json_parse_fields(json, &root, jwk.fields, FIELDS) || root.kind != JSON_OBJECT)
        (void)err_set(err, 0, "the key is not a JSON object");
    else if (!may_verify(&jwk))
        (void)err_set(err, 0, "the key's use or key_ops does not allow verifying");
    else if (!alg_of(&jwk, &alg))
        (void)err_set(err, 0, "the key's algorithm is none that is known here");
    else
        is_good =
            is_symmetric(alg) ? make_secret(key, &jwk, alg, err) : make_public(key, &jwk, alg, err);
    buf_fini(&jwk.text);
    return is_good;
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
static int wrap_ecdsa(struct span signature, unsigned char **der)
{
    if (signature.len != SIGNATURE)
        return -1;
    const unsigned char *bytes = (const unsigned char *)signature.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(
        sig, BN_bin2bn(bytes, COORDINATE, NULL), BN_bin2bn(bytes + COORDINATE, COORDINATE, NULL));
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
    if (ok && key->alg == JWT_PS256)
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
    if (key->alg != JWT_ES256)
        return verify_public(key, text, signature);
    unsigned char *der = NULL;
    int n = wrap_ecdsa(signature, &der);
    bool ok = n > 0 && verify_public(key, text, span_of((const char *)der, (size_t)n));
    OPENSSL_free(der);
    return ok;
}
