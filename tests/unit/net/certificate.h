/* certificate.h - a self-signed certificate and its key, made anew, as files in a folder. */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include "base/base.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

static char cert_folder[] = "/tmp/carillon-tls-XXXXXX";

/* The files are named in the working directory. */
static inline void cert_begin(void)
{
    ENSURE(mkdtemp(cert_folder) && chdir(cert_folder) == 0);
}

static inline FILE *cert_open(const char *name)
{
    FILE *f = fopen(name, "we");
    ENSURE(f);
    return f;
}

static inline void cert_write_text(const char *name, const char *text)
{
    FILE *f = cert_open(name);
    ENSURE(fputs(text, f) >= 0);
    ENSURE(fclose(f) == 0);
}

static inline void cert_make(const char *cert, const char *key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    ENSURE(pair && x);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, pair);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
        (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    ENSURE(X509_sign(x, pair, EVP_sha256()) > 0);
    FILE *f = cert_open(cert);
    ENSURE(PEM_write_X509(f, x) == 1);
    ENSURE(fclose(f) == 0);
    f = cert_open(key);
    ENSURE(PEM_write_PrivateKey(f, pair, NULL, NULL, 0, NULL, NULL) == 1);
    ENSURE(fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(pair);
}

static inline void cert_end(void)
{
    static const char *const names[] = {"cert.pem", "key.pem", "cert2.pem", "key2.pem", "bad.pem"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        (void)unlink(names[i]); // not every test makes all of them
    ENSURE(chdir("/") == 0 && rmdir(cert_folder) == 0);
}

#endif
