/* The ends of such letters. */
#include "base/base.h"

#include "wire/exchange.h"

#include <stdlib.h>

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    free(x->url);
    free(x->name);
    free(x->request_id);
    wipe(x->secret);
    wipe(x->authorization);
    buf_fini(&x->body);
    free(x);
}

void exchange_answer_free(struct exchange_answer *a)
{
    if (!a)
        return;
    buf_fini(&a->body);
    free(a);
}
