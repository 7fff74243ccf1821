/* check.c - what an event carries, and whether it arrived so.
 *
 *     #iiiiiiii.ssssssss.qqqqqqqq.tttttttttttttttt#filler
 *
 * id, stream, sequence and time have one letter a..p for four bits.  The filler is a window
 * into the alphabet that moves with the sequence, so the body of one event under the head of
 * another shows.  Nothing here needs escaping in JSON.
 */
#include "load.h"

#include <string.h>

enum { STAMP_LEN = 45, CYCLE = 61, FILLER_MAX = 1 << 16 };

static char filler[FILLER_MAX + CYCLE];

static void make_filler(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345678";
    _Static_assert(sizeof letters == CYCLE + 1, "one cycle of the filler");
    for (size_t i = 0; i < sizeof filler; i++)
        filler[i] = letters[i % CYCLE];
}

static char *put_word(char *out, uint32_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 4)
        out[i] = (char)('a' + (value & 15));
    return out + 8;
}

void payload_write(char *out, uint32_t size, const struct stamp *s)
{
    if (!filler[0])
        make_filler();
    char *p = out;
    *p++ = '#';
    p = put_word(p, s->id);
    *p++ = '.';
    p = put_word(p, s->stream);
    *p++ = '.';
    p = put_word(p, s->seq);
    *p++ = '.';
    p = put_word(p, (uint32_t)(s->time >> 32));
    p = put_word(p, (uint32_t)s->time);
    *p = '#';
    memcpy(out + STAMP_LEN, filler + s->seq % CYCLE, size - STAMP_LEN);
}

/* All eight letters at once: four million of these a second have to fit beside the rest. */
static bool get_word(const char *text, uint32_t *value)
{
    uint64_t x;
    memcpy(&x, text, sizeof x);
    x = __builtin_bswap64(x) - 0x6161616161616161U;
    if (x & 0xf0f0f0f0f0f0f0f0U)
        return false;
    x = (x | x >> 4) & 0x00ff00ff00ff00ffU;
    x = (x | x >> 8) & 0x0000ffff0000ffffU;
    *value = (uint32_t)(x | x >> 16);
    return true;
}

static bool stamp_read(const char *p, struct stamp *s)
{
    uint32_t high = 0, low = 0;
    if (p[9] != '.' || p[18] != '.' || p[27] != '.' || p[44] != '#')
        return false;
    if (!get_word(p + 1, &s->id) || !get_word(p + 10, &s->stream) || !get_word(p + 19, &s->seq) ||
        !get_word(p + 28, &high) || !get_word(p + 36, &low))
        return false;
    s->time = (uint64_t)high << 32 | low;
    return true;
}

uint32_t check_register(struct load *l, uint32_t n_hearers)
{
    uint32_t id = l->next_id++;
    l->tally.published++;
    l->tally.expected += n_hearers;
    l->remaining[id % IN_FLIGHT_MAX] = n_hearers;
    if (n_hearers)
        l->in_flight++;
    return id;
}

static bool is_intact(const char *p, const char *end, uint32_t size, uint32_t seq)
{
    return (size_t)(end - p) > size && p[-1] == '"' && p[size] == '"' &&
           memcmp(p + STAMP_LEN, filler + seq % CYCLE, size - STAMP_LEN) == 0;
}

bool check_delivery(struct load *l, struct conn *c, const char *text, size_t len, uint64_t now)
{
    struct tally *t = &l->tally;
    struct stamp s;
    const char *end = text + len, *p = memchr(text, '#', len);
    if (!p)
        return false;
    uint32_t slot = 0;
    bool good = p > text && end - p > STAMP_LEN && stamp_read(p, &s) &&
                is_intact(p, end, l->opt.size, s.seq) && s.stream < l->n_streams;
    if (good)
        slot = s.stream >= c->base ? s.stream - c->base : s.stream + l->n_streams - c->base;
    if (!good || slot >= c->n_streams) {
        t->corrupt++;
        note_error(l, text, len);
        return true;
    }
    uint32_t want = c->next_seq[slot];
    if ((int32_t)(s.seq - want) < 0) {
        t->repeated++;
        return true;
    }
    t->gaps += s.seq - want;
    c->next_seq[slot] = s.seq + 1;
    c->order = (c->order ^ s.id) * 0x9e3779b97f4a7c15U;
    t->delivered++;
    t->bytes += len;
    histogram_add(&l->latency, now > s.time ? now - s.time : 0);
    if (--l->remaining[s.id % IN_FLIGHT_MAX] == 0 && l->in_flight)
        l->in_flight--;
    return true;
}

uint32_t check_disordered(const struct load *l)
{
    uint32_t n = 0;
    if (l->opt.mode != LOAD_FANOUT && l->opt.mode != LOAD_SATURATE)
        return 0;
    for (uint32_t i = 1; i < l->opt.conns; i++)
        n += l->conns[i].order != l->conns[0].order;
    return n;
}

void check_forget(struct load *l)
{
    memset(&l->tally, 0, sizeof l->tally);
    memset(&l->latency, 0, sizeof l->latency);
    l->in_flight = 0;
}
