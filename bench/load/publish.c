/* publish.c - signed POST /apps/ID/events over connections that are kept. */
#include "load.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct conn *find_free(struct load *l)
{
    for (uint32_t i = 0; i < l->opt.publishers; i++) {
        uint32_t k = (l->next_publisher + i) % l->opt.publishers;
        struct conn *c = &l->conns[l->first_publisher + k];
        if (c->state == CONN_READY && !c->busy) {
            l->next_publisher = k + 1;
            return c;
        }
    }
    return NULL;
}

/* A channel always has the same publisher, so that its sequence is one stream. */
static uint32_t pick_channel(struct load *l, uint32_t publisher)
{
    static uint64_t state = 0x2545f4914f6cdd1dU;
    const struct options *o = &l->opt;
    if (o->channels == 1)
        return 0;
    state = state * 6364136223846793005U + 1442695040888963407U;
    uint32_t mine = (o->channels - publisher + o->publishers - 1) / o->publishers;
    return (uint32_t)(state >> 33) % mine * o->publishers + publisher;
}

static int write_head(const struct options *o, const char *body, size_t len, char *out, size_t cap)
{
    unsigned char md5[EVP_MAX_MD_SIZE];
    char hash[33], query[256], sign[512], signature[65];
    if (!EVP_Digest(body, len, md5, NULL, EVP_md5(), NULL))
        die("MD5 failed");
    to_hex(md5, 16, hash);
    (void)snprintf(query, sizeof query,
        "auth_key=%s&auth_timestamp=%lld&auth_version=1.0&body_md5=%s", o->key,
        (long long)time(NULL), hash);
    int n = snprintf(sign, sizeof sign, "POST\n/apps/%s/events\n%s", o->app_id, query);
    hmac_hex(o, sign, (size_t)n, signature);
    return snprintf(out, cap,
        "POST /apps/%s/events?%s&auth_signature=%s HTTP/1.1\r\nHost: %s:%u\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        o->app_id, query, signature, o->host, o->port, len);
}

bool publish_next(struct load *l, uint64_t due)
{
    enum { HEAD_MAX = 1024 };
    const struct options *o = &l->opt;
    char head[HEAD_MAX];
    struct conn *c = find_free(l);
    if (!c)
        return false;
    uint32_t channel = pick_channel(l, c->index);
    struct stamp s = {.stream = o->channels > 1 ? channel : c->index, .time = due};
    s.seq = l->next_seq[s.stream]++;
    s.id = check_register(l, l->n_hearers[channel]);
    char *body = l->out + HEAD_MAX;
    int n = sprintf(body, "{\"name\":\"ev\",\"channels\":[\"bench-%u\"],\"data\":\"", channel);
    payload_write(body + n, o->size, &s);
    size_t len = (size_t)n + o->size + 2;
    body[len - 2] = '"';
    body[len - 1] = '}';
    size_t head_len = (size_t)write_head(o, body, len, head, sizeof head);
    memcpy(body - head_len, head, head_len);
    c->busy = true;
    l->n_pending++;
    return conn_send(l, c, body - head_len, head_len + len);
}

/* The head is small and lower-cased in place: field names have no case. */
static long content_length(char *head, size_t len)
{
    static const char field[] = "\r\ncontent-length:";
    for (size_t i = 0; i < len; i++)
        if (head[i] >= 'A' && head[i] <= 'Z')
            head[i] = (char)(head[i] | 0x20);
    char *at = memmem(head, len, field, sizeof field - 1);
    return at ? strtol(at + sizeof field - 1, NULL, 10) : -1;
}

size_t publish_read(struct load *l, struct conn *c, char *bytes, size_t len)
{
    size_t used = 0;
    while (used < len) {
        char *at = bytes + used;
        char *end = memmem(at, len - used, "\r\n\r\n", 4);
        if (!end)
            break;
        size_t head = (size_t)(end + 4 - at);
        long body = content_length(at, head);
        if (body < 0) {
            conn_kill(l, c, "an answer without Content-Length");
            break;
        }
        if (len - used < head + (size_t)body)
            break;
        if (memcmp(at, "http/1.1 200", 12) != 0) {
            l->tally.refused++;
            note_error(l, at, head + (size_t)body);
        }
        l->tally.answered++;
        l->n_pending -= c->busy;
        c->busy = false;
        used += head + (size_t)body;
    }
    return used;
}
