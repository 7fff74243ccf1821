/* Certificates that are good, wrong, missing; what a handshake agrees on. */
#include "base/base.h"

#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certificate.h"
#include "pair.h"

/* What refused the pair of files; empty when nothing did. */
static const char *refusal(const char *cert, const char *key)
{
    static struct err err;
    err.text[0] = '\0';
    struct tls_context *t = tls_context_new(cert, key, &err);
    CHECK((t == NULL) == (err.text[0] != '\0'));
    CHECK_EQ(ERR_peek_error(), 0); // or the next connection would find it
    tls_context_drop(t);
    return err.text;
}

static bool says(const char *text, const char *start, const char *part)
{
    bool ok = strncmp(text, start, strlen(start)) == 0 && strstr(text, part);
    if (!ok)
        printf("    the sentence is '%s'\n", text);
    return ok;
}

TEST(a_good_pair_is_accepted)
{
    CHECK_STR(refusal("cert.pem", "key.pem"), "");
}

TEST(a_missing_file_is_named)
{
    CHECK(says(refusal("none.pem", "key.pem"), "tls.cert none.pem: ", "No such file"));
    CHECK(says(refusal("cert.pem", "none.pem"), "tls.key none.pem: ", "No such file"));
}

TEST(a_file_that_holds_something_else_is_named)
{
    CHECK(says(refusal("bad.pem", "key.pem"), "tls.cert bad.pem: ", "no start line"));
    CHECK(says(refusal("key.pem", "key.pem"), "tls.cert key.pem: ", "no start line"));
    CHECK(says(refusal("cert.pem", "bad.pem"), "tls.key bad.pem: ", ""));
    CHECK(says(refusal("cert.pem", "cert.pem"), "tls.key cert.pem: ", ""));
}

TEST(the_key_of_another_certificate_is_refused)
{
    CHECK(says(refusal("cert.pem", "key2.pem"), "tls.key", "key2.pem"));
    CHECK(says(refusal("cert.pem", "key2.pem"), "tls.key", "key values mismatch"));
}

/* --- handshakes ------------------------------------------------------------------------------ */

struct wish {
    int most;             // the newest version that the client speaks; 0 = any
    const char *protocol; // ALPN, with its length in front; NULL = none
};

/* Both sides in turn.  True when both have finished; client is the caller's. */
static bool shake(SSL *server, SSL *client)
{
    for (int i = 0; i < 20; i++) {
        int c = SSL_do_handshake(client);
        int s = SSL_do_handshake(server);
        if (c == 1 && s == 1)
            return true;
        if (c != 1 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ)
            break;
        if (s != 1 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ)
            break;
    }
    ERR_clear_error();
    return false;
}

/* The protocol that was agreed on, "" for none, or NULL when there was no handshake. */
static const char *agree(struct wish wish)
{
    static char chosen[64];
    int fd[2];
    struct err err;
    const unsigned char *protocol = NULL;
    unsigned len = 0;
    struct tls_context *t = tls_context_new("cert.pem", "key.pem", &err);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    ENSURE(t && ctx);
    if (wish.most)
        SSL_CTX_set_max_proto_version(ctx, wish.most);
    SSL_CTX_set_security_level(ctx, 0); // so that it is the server who refuses the old ones
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    SSL *server = tls_accept(t, fd[0]);
    SSL *client = SSL_new(ctx);
    SSL_set_fd(client, fd[1]);
    SSL_set_connect_state(client);
    if (wish.protocol)
        SSL_set_alpn_protos(
            client, (const unsigned char *)wish.protocol, (unsigned)strlen(wish.protocol));
    tls_context_drop(t); // the connection keeps it
    bool ok = shake(server, client);
    SSL_get0_alpn_selected(client, &protocol, &len);
    snprintf(chosen, sizeof chosen, "%.*s", (int)len, len ? (const char *)protocol : "");
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(ctx);
    close(fd[0]);
    close(fd[1]);
    return ok ? chosen : NULL;
}

TEST(http_1_1_is_agreed_on_where_it_is_offered)
{
    CHECK_STR(agree((struct wish){.protocol = "\x08http/1.1"}), "http/1.1");
    CHECK_STR(agree((struct wish){.protocol = "\x02h2\x08http/1.1"}), "http/1.1");
    CHECK_STR(agree((struct wish){0}), "");
    CHECK_STR(agree((struct wish){.protocol = "\x02h2"}), NULL);
}

TEST(versions_before_1_2_are_refused)
{
    CHECK_STR(agree((struct wish){.most = TLS1_3_VERSION}), "");
    CHECK_STR(agree((struct wish){.most = TLS1_2_VERSION}), "");
    CHECK_STR(agree((struct wish){.most = TLS1_1_VERSION}), NULL);
}

TEST(a_context_lives_as_long_as_somebody_holds_it)
{
    struct err err;
    struct tls_context *t = tls_context_new("cert.pem", "key.pem", &err);
    tls_context_hold(t);
    tls_context_drop(t);
    int fd[2];
    open_pair(fd);
    SSL *ssl = tls_accept(t, fd[0]);
    tls_context_drop(t);
    CHECK(SSL_get_certificate(ssl) != NULL);
    SSL_free(ssl);
    close(fd[0]);
    close(fd[1]);
    tls_context_drop(NULL);
}

int main(void)
{
    cert_begin();
    cert_make("cert.pem", "key.pem");
    cert_make("cert2.pem", "key2.pem");
    cert_write_text("bad.pem", "nothing of the kind\n");
    RUN(a_good_pair_is_accepted);
    RUN(a_missing_file_is_named);
    RUN(a_file_that_holds_something_else_is_named);
    RUN(the_key_of_another_certificate_is_refused);
    RUN(http_1_1_is_agreed_on_where_it_is_offered);
    RUN(versions_before_1_2_are_refused);
    RUN(a_context_lives_as_long_as_somebody_holds_it);
    cert_end();
    return test_end();
}
