/* Variables, and where their values are found. */
#include "base/base.h"

#include "gateway/scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "wire/http.h"
#include "wire/pusher.h"

enum { DEPTH_MAX = 8, WORD_MAX = 64 };

static const struct {
    const char *word;
    bool has_path;
    bool is_trusted;
} roots[SCENE_ROOTS] = {
    [SCENE_USER_ID] = {"user.id", false, true},
    [SCENE_USER_NAME] = {"user.name", false, true},
    [SCENE_USER_ROLE] = {"user.role", false, true},
    [SCENE_REQUEST_ID] = {"request_id", false, false},
    [SCENE_NOW] = {"now", false, true},
    [SCENE_NOW_MS] = {"now_ms", false, true},
    [SCENE_CHANNEL] = {"channel", false, false},
    [SCENE_ERROR] = {"error", false, true},
    [SCENE_PROGRESS] = {"progress", false, true},
    [SCENE_CLAIM] = {"claim", true, true},
    [SCENE_BODY] = {"body", true, false},
    [SCENE_UPSTREAM] = {"upstream", true, true},
    [SCENE_METRICS] = {"metrics", true, true},
    [SCENE_QUERY] = {"query", true, false},
    [SCENE_PATH] = {"path", true, false},
};

static bool find_root(struct span name, struct variable *v, struct span *rest)
{
    for (int i = 0; i < SCENE_ROOTS; i++) {
        size_t n = strlen(roots[i].word);
        bool is_whole = span_is(name, roots[i].word);
        bool is_start = roots[i].has_path && span_starts(name, roots[i].word) && name.len > n &&
                        name.p[n] == '.';
        if (!is_whole && !is_start)
            continue;
        v->root = (enum scene_root)i;
        *rest = is_start ? span_from(name, n + 1) : span_of(NULL, 0);
        return true;
    }
    return false;
}

/* "a.b" to "a\0b\0\0"; false when a word is empty or there are too many. */
static bool read_path(struct variable *v, struct span rest)
{
    int n_words = 0;
    v->path = mem_zero(rest.len + 3);
    char *at = v->path;
    while (rest.p) {
        const char *dot = memchr(rest.p, '.', rest.len);
        size_t n = dot ? (size_t)(dot - rest.p) : rest.len;
        if (n == 0 || n > WORD_MAX || ++n_words > DEPTH_MAX)
            return false;
        memcpy(at, rest.p, n);
        at += n + 1;
        rest = dot ? span_of(dot + 1, rest.len - n - 1) : span_of(NULL, 0);
    }
    return (v->root != SCENE_QUERY && v->root != SCENE_PATH) || n_words == 1;
}

bool variable_read(struct variable *v, struct span text, struct err *err)
{
    static const char safe[] = "|safe";
    size_t n = sizeof safe - 1;
    struct span name = text;
    struct span rest;
    *v = (struct variable){0};
    if (name.len > n && memcmp(name.p + name.len - n, safe, n) == 0) {
        v->is_safe = true;
        name.len -= n;
    }
    bool is_text = name.len && !memchr(name.p, '\0', name.len);
    if (!is_text || !find_root(name, v, &rest))
        return err_set(err, 0,
            "unknown variable '{%.*s}': there are user.id, user.name, user.role, claim.NAME, "
            "body.NAME, query.NAME, path.NAME, upstream.NAME, metrics.NAME, request_id, channel, "
            "error, "
            "progress, now and now_ms",
            (int)(text.len > 64 ? 64 : text.len), text.len ? text.p : "");
    v->text = mem_dup(name.p, name.len);
    if (read_path(v, rest))
        return true;
    (void)err_set(
        err, 0, "'{%s}' is not a variable: its names are empty, too long or too many", v->text);
    variable_fini(v);
    return false;
}

void variable_fini(struct variable *v)
{
    free(v->path);
    free(v->text);
    *v = (struct variable){0};
}

bool variable_is_trusted(const struct variable *v)
{
    return roots[v->root].is_trusted;
}

/* --- values ------------------------------------------------------------------------------------ */

static struct json find_member(struct json value, const char *path)
{
    for (; *path; path += strlen(path) + 1) {
        struct json_field field = {path, {0}};
        if (value.kind != JSON_OBJECT)
            return (struct json){0};
        json_fields(&value, &field, 1);
        value = field.value;
    }
    return value;
}

static struct scene_value of_text(struct span text)
{
    return (struct scene_value){.is_text = text.p != NULL, .text = text};
}

static struct scene_value of_json(struct json value)
{
    return (struct scene_value){.json = value};
}

/* Decodes behind what scratch holds. */
static struct scene_value of_encoded(struct span value, bool plus_is_blank, struct buf *scratch)
{
    size_t from = scratch->len;
    (void)buf_room(scratch, value.len + 1); // so that an empty value has an address
    bool ok = http_decode(value, plus_is_blank, scratch);
    struct span text = span_of(scratch->p + from, scratch->len - from);
    return ok && utf8_is_valid(text) ? of_text(text) : of_json((struct json){0});
}

static struct scene_value of_query(struct span query, const char *wanted, struct buf *scratch)
{
    struct span name;
    struct span value;
    while (http_next_param(&query, &name, &value)) {
        size_t from = scratch->len;
        bool is_it = http_decode(name, true, scratch) &&
                     span_is(span_of(scratch->p + from, scratch->len - from), wanted);
        scratch->len = from;
        if (is_it)
            return of_encoded(value, true, scratch);
    }
    return of_json((struct json){0});
}

static struct span next_segment(struct span *path)
{
    const char *slash = path->len ? memchr(path->p, '/', path->len) : NULL;
    struct span segment = span_of(path->p, slash ? (size_t)(slash - path->p) : path->len);
    *path = span_from(*path, segment.len + (slash != NULL));
    return segment;
}

/* The route fits the path: both have the same segments, but for those in braces. */
static struct scene_value of_path(const struct scene *scene, const char *name, struct buf *scratch)
{
    struct span pattern = scene->route_path;
    struct span path = scene->path;
    size_t n = strlen(name);
    while (pattern.len) {
        struct span wanted = next_segment(&pattern);
        struct span given = next_segment(&path);
        if (wanted.len == n + 2 && wanted.p[0] == '{' && memcmp(wanted.p + 1, name, n) == 0)
            return of_encoded(given, false, scratch);
    }
    return of_json((struct json){0});
}

static struct scene_value of_number(uint64_t n, struct buf *scratch)
{
    size_t from = scratch->len;
    buf_add_u64(scratch, n);
    return of_json(
        (struct json){.kind = JSON_NUMBER, .raw = span_of(scratch->p + from, scratch->len - from)});
}

static struct scene_value of_now(int64_t now_ms, struct buf *scratch)
{
    char *at = buf_room(scratch, 32);
    clock_format(now_ms, at);
    memcpy(at + 23, "+00:00", 6); // as Python's isoformat writes it, instead of the Z
    return of_text(span_of(at, 29));
}

struct scene_value scene_find(
    const struct scene *scene, const struct variable *v, struct buf *scratch)
{
    static const struct caller nobody;
    const struct caller *caller = scene->caller ? scene->caller : &nobody;
    switch (v->root) {
    case SCENE_USER_ID:
        return of_text(caller->id);
    case SCENE_USER_NAME:
        return of_text(caller->name);
    case SCENE_USER_ROLE:
        return of_text(caller->role);
    case SCENE_REQUEST_ID:
        return of_text(scene->request_id);
    case SCENE_NOW:
        return of_now(scene->now_ms, scratch);
    case SCENE_NOW_MS:
        return of_number((uint64_t)scene->now_ms, scratch);
    case SCENE_CHANNEL:
        return of_text(scene->channel);
    case SCENE_ERROR:
        return of_text(scene->error);
    case SCENE_PROGRESS:
        return of_number(scene->progress, scratch);
    case SCENE_CLAIM:
        return of_json(find_member(caller->claims, v->path));
    case SCENE_BODY:
        return of_json(find_member(scene->body, v->path));
    case SCENE_UPSTREAM:
        return of_json(find_member(scene->upstream, v->path));
    case SCENE_METRICS:
        return of_json(find_member(scene->metrics, v->path));
    case SCENE_QUERY:
        return of_query(scene->query, v->path, scratch);
    case SCENE_PATH:
        return of_path(scene, v->path, scratch);
    case SCENE_ROOTS:
        break;
    }
    return of_json((struct json){0});
}

/* --- names --------------------------------------------------------------------------------------- */

void scene_add_safe(struct buf *out, struct span text)
{
    if (pusher_is_name(text) && text.p[0] != '=') {
        buf_add_span(out, text);
        return;
    }
    buf_add_char(out, '=');
    base64url_encode(text, out);
}

/* A value as text; false for what no name is made of. */
static bool to_text(const struct scene_value *value, struct buf *scratch, struct span *text)
{
    *text = value->is_text ? value->text : value->json.raw;
    if (value->is_text)
        return true;
    if (value->json.kind == JSON_STRING)
        return json_decode(&value->json, scratch, text);
    return value->json.kind == JSON_NUMBER || value->json.kind == JSON_TRUE ||
           value->json.kind == JSON_FALSE;
}

bool scene_add_name(const struct scene *scene, const struct variable *v, struct buf *out)
{
    struct buf found = {0};
    struct buf decoded = {0};
    struct span text;
    struct scene_value value = scene_find(scene, v, &found);
    bool ok = to_text(&value, &decoded, &text) && text.len;
    if (ok && v->is_safe)
        scene_add_safe(out, text);
    else if (ok)
        buf_add_span(out, text);
    buf_fini(&found);
    buf_fini(&decoded);
    return ok;
}
