/* tls.h - the server's certificate and how a connection gets it (OpenSSL 3).
 *
 * A context is immutable and reference counted: a reload makes a new one, and connections
 * keep the one they began with.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/base.h"
#include "base/err.h"

struct tls_context;
struct ssl_st;

/* TLS 1.2 and later, ALPN http/1.1.  NULL with err filled, naming the file that is wrong. */
struct tls_context *tls_context_new(const char *cert, const char *key, struct err *err);
void tls_context_hold(struct tls_context *t); // any thread
void tls_context_drop(struct tls_context *t); // any thread; NULL is fine

/* The TLS side of an accepted connection, to be freed with SSL_free. */
struct ssl_st *tls_accept(struct tls_context *t, int fd);

#endif
