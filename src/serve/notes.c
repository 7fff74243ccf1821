/* Notes in one map by session, and the letters about them. */
#include "base/base.h"

#include "serve/notes.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "gateway/tally.h"
#include "serve/bridge.h"
#include "serve/session.h"
#include "wire/json.h"

enum note_kind { NOTE_OWNER, NOTE_SILENT };

struct note {
    struct map_node node; // hash: the session's index
    enum note_kind kind;
    size_t len;
    char text[]; // user id, or channel
};

struct owner_letter {
    struct mail mail;
    struct session_ref ref;
    uint32_t app;
    size_t len;
    char user[];
};

struct scan_letter {
    struct mail mail;
    struct scan scan; // its spans point behind the struct
    unsigned from;
    uint32_t request[3];
    char text[];
};

static struct note *find(
    const struct serve *s, uint32_t session, enum note_kind kind, const struct note *behind)
{
    struct map_node *node = behind ? map_next(&behind->node) : map_first(&s->notes, session);
    for (; node; node = map_next(node)) {
        struct note *note = CONTAINER_OF(node, struct note, node);
        if (note->kind == kind)
            return note;
    }
    return NULL;
}

static void add(struct serve *s, uint32_t session, enum note_kind kind, struct span text)
{
    struct note *note = mem_alloc(sizeof *note + text.len);
    note->kind = kind;
    note->len = text.len;
    if (text.len)
        memcpy(note->text, text.p, text.len);
    map_add(&s->notes, &note->node, session);
    if (kind == NOTE_OWNER)
        tally_add(s->house->users, session_at(s, session)->app, text);
}

static void remove_note(struct serve *s, struct note *note)
{
    uint32_t app = session_at(s, note->node.hash)->app;
    if (note->kind == NOTE_OWNER)
        tally_remove(s->house->users, app, span_of(note->text, note->len));
    map_remove(&s->notes, &note->node);
    free(note);
}

/* The last to be authorised is who it is. */
static void own_here(struct serve *s, uint32_t session, struct span user)
{
    struct note *note = find(s, session, NOTE_OWNER, NULL);
    if (note && span_eq(span_of(note->text, note->len), user))
        return;
    if (note)
        remove_note(s, note);
    add(s, session, NOTE_OWNER, user);
}

static void take_owner(struct serve *s, struct session_ref ref, uint32_t app, struct span user)
{
    if (!slab_has(&s->sessions, ref.slot))
        return;
    const struct session *session = session_at(s, ref.slot);
    if (session->state == SESSION_OPEN && session->nonce == ref.nonce && session->app == app)
        own_here(s, ref.slot, user);
}

void notes_own(struct serve *s, struct session_ref ref, uint32_t app, struct span user)
{
    if (!ref.nonce || ref.worker >= s->house->n_workers)
        return; // no socket of ours
    if (ref.worker == s->worker) {
        take_owner(s, ref, app, user);
        return;
    }
    struct owner_letter *letter = mem_alloc(sizeof *letter + user.len);
    *letter = (struct owner_letter){
        .mail.kind = SERVE_LETTER_OWNER, .ref = ref, .app = app, .len = user.len};
    memcpy(letter->user, user.p, user.len);
    serve_post(s->house->workers[ref.worker], &letter->mail);
}

void notes_receive_owner(struct serve *s, struct mail *mail)
{
    struct owner_letter *letter = CONTAINER_OF(mail, struct owner_letter, mail);
    take_owner(s, letter->ref, letter->app, span_of(letter->user, letter->len));
    free(letter);
}

static struct note *find_silence(const struct serve *s, uint32_t session, struct span channel)
{
    struct note *note = find(s, session, NOTE_SILENT, NULL);
    while (note && !span_eq(span_of(note->text, note->len), channel))
        note = find(s, session, NOTE_SILENT, note);
    return note;
}

void notes_set_silent(struct serve *s, uint32_t session, struct span channel, bool is_silent)
{
    struct note *note = s->notes.n ? find_silence(s, session, channel) : NULL;
    if (is_silent && !note)
        add(s, session, NOTE_SILENT, channel);
    else if (!is_silent && note)
        remove_note(s, note);
}

bool notes_is_silent(const struct serve *s, uint32_t session, struct span channel)
{
    return s->notes.n && find_silence(s, session, channel);
}

void notes_forget(struct serve *s, uint32_t session)
{
    struct map_node *node;
    while (s->notes.n && (node = map_first(&s->notes, session)))
        remove_note(s, CONTAINER_OF(node, struct note, node));
}

/* --- scans ---------------------------------------------------------------------------------------- */

/* Whose a session is: as the gateway said, or as it signed in. */
static struct span owner_of(const struct serve *s, uint32_t session)
{
    const struct note *note = find(s, session, NOTE_OWNER, NULL);
    return note ? span_of(note->text, note->len) : hub_user(s->hub, session);
}

/* Strings with commas between them, each once. */
struct item_list {
    struct buf *out;
    struct names seen;
};

static void add_item(struct item_list *f, struct span text)
{
    if (names_add(&f->seen, 0, text) > 1)
        return;
    if (f->seen.map.n > 1)
        buf_add_char(f->out, ',');
    json_quote(f->out, text);
}

static uint32_t visit(
    struct serve *s, struct session *session, const struct scan *scan, struct item_list *f)
{
    struct span owner = owner_of(s, session->index);
    struct span name;
    uint32_t at = 0;
    bool is_theirs = owner.len && span_eq(owner, scan->user);
    switch (scan->kind) {
    case SCAN_USERS:
        if (owner.len)
            add_item(f, owner);
        return owner.len > 0;
    case SCAN_CHANNELS:
        while (is_theirs && hub_next_channel(s->hub, session->index, &at, &name))
            add_item(f, name);
        return is_theirs;
    case SCAN_IS_IN:
        return is_theirs &&
               hub_is_subscribed(s->hub, session->index, session->app, scan->channel, &name);
    case SCAN_LEAVE:
        if (!is_theirs || !hub_unsubscribe(s->hub, session->index, session->app, scan->channel))
            return 0;
        notes_set_silent(s, session->index, scan->channel, false);
        if (session->transport == TRANSPORT_LEGACY)
            bridge_left(s, session, scan->channel);
        return 1;
    case SCAN_CLOSE:
        if (is_theirs)
            session_close(s, session, CLOSE_TERMINATED, 0);
        return is_theirs;
    }
    return 0;
}

uint32_t notes_scan(struct serve *s, const struct scan *scan, struct buf *out)
{
    struct item_list found = {.out = out};
    uint32_t n = 0;
    for (uint32_t p = 0; p < s->sessions.n_pieces; p++) {
        const struct slab_piece *piece = &s->sessions.pieces[p];
        for (uint32_t i = 0; piece->live && i < SLAB_PIECE; i++) {
            struct session *session = session_at(s, p << SLAB_SHIFT | i);
            if (session->state == SESSION_OPEN && session->app == scan->app)
                n += visit(s, session, scan, &found);
        }
    }
    names_fini(&found.seen);
    return n;
}

void notes_ask(struct serve *s, unsigned worker, const struct scan *scan, const uint32_t request[3])
{
    struct scan_letter *letter = mem_alloc(sizeof *letter + scan->user.len + scan->channel.len);
    *letter =
        (struct scan_letter){.mail.kind = SERVE_LETTER_SCAN, .scan = *scan, .from = s->worker};
    memcpy(letter->request, request, sizeof letter->request);
    if (scan->user.len)
        memcpy(letter->text, scan->user.p, scan->user.len);
    if (scan->channel.len)
        memcpy(letter->text + scan->user.len, scan->channel.p, scan->channel.len);
    letter->scan.user.p = letter->text;
    letter->scan.channel.p = letter->text + scan->user.len;
    serve_post(s->house->workers[worker], &letter->mail);
}

void notes_receive_scan(struct serve *s, struct mail *mail)
{
    struct scan_letter *letter = CONTAINER_OF(mail, struct scan_letter, mail);
    struct buf found = {0};
    struct letter *answer = mem_zero(sizeof *answer);
    answer->mail.kind = LETTER_ANSWER;
    memcpy(answer->request, letter->request, sizeof answer->request);
    answer->n_subscriptions = notes_scan(s, &letter->scan, &found);
    answer->cached = frame_new(found.len);
    if (found.len)
        memcpy(answer->cached->text, found.p, found.len);
    buf_fini(&found);
    serve_post(s->house->workers[letter->from], &answer->mail);
    free(letter);
}
