/* TLS contexts. */
#include "base/base.h"

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

/* struct tls_context is OpenSSL's SSL_CTX under a name that keeps its headers out of ours. */
static SSL_CTX *ctx_of(struct tls_context *t)
{
    return (SSL_CTX *)(void *)t;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool fail(struct err *err, const char *what, const char *file)
{
    char why[256];
    ERR_error_string_n(ERR_get_error(), why, sizeof why);
    ERR_clear_error();
    return err_set(err, 0, "%s %s: %s", what, file, why);
}

static bool load(SSL_CTX *ctx, const char *cert, const char *key, struct err *err)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return fail(err, "tls.cert", cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return fail(err, "tls.key", key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(err, "tls.key does not belong to tls.cert:", key);
    return true;
}

struct tls_context *tls_context_new(const char *cert, const char *key, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ENSURE(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (!load(ctx, cert, key, err)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return (struct tls_context *)(void *)ctx;
}

void tls_context_hold(struct tls_context *t)
{
    SSL_CTX_up_ref(ctx_of(t));
}

void tls_context_drop(struct tls_context *t)
{
    SSL_CTX_free(ctx_of(t));
}

struct ssl_st *tls_accept(struct tls_context *t, int fd)
{
    SSL *ssl = SSL_new(ctx_of(t));
    ENSURE(ssl != NULL);
    int ok = SSL_set_fd(ssl, fd);
    ENSURE(ok == 1);
    SSL_set_accept_state(ssl);
    return ssl;
}
