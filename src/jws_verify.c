/* Lines of keys and signatures. */
#include "base/base.h"

#include "jws_verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/jwt.h"

static bool is_accepted(struct span line)
{
    struct json root;
    struct json_field fields[] = {{"jwk", {0}}, {"jws", {0}}};
    struct jwt_key key;
    struct err err;
    struct buf text = {0};
    struct buf payload = {0};
    struct span jws;
    bool is_good = json_parse_fields(line, &root, fields, COUNT_OF(fields)) &&
                   root.kind == JSON_OBJECT && fields[0].value.kind == JSON_OBJECT &&
                   fields[1].value.kind == JSON_STRING &&
                   json_decode(&fields[1].value, &text, &jws) &&
                   jwt_key_from_jwk(&key, fields[0].value.raw, &err) == JWK_OK;
    if (is_good) {
        is_good = jws_verify(&key, 1, jws, &payload) == JWT_OK;
        jwt_key_fini(&key);
    }
    buf_fini(&text);
    buf_fini(&payload);
    return is_good;
}

int jws_verify_lines(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        if (line[n - 1] == '\n')
            n--;
        puts(is_accepted(span_of(line, (size_t)n)) ? "accept" : "reject");
        fflush(stdout);
    }
    free(line);
    return 0;
}
