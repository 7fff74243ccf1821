/* A template that compiles writes JSON, whatever its values are; a channel's name holds legal
 * characters only; a form becomes JSON. */
#include "base/base.h"

#include <stdint.h>

#include "gateway/route.h"
#include "gateway/template.h"
#include "wire/pusher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input: a template, a NUL, a body. */
static void split(struct span all, struct span *text, struct span *body)
{
    const char *zero = all.len ? memchr(all.p, '\0', all.len) : NULL;
    *text = zero ? span_of(all.p, (size_t)(zero - all.p)) : all;
    *body = zero ? span_from(all, text->len + 1) : span_of("{}", 2);
}

static void check_template(struct span text, const struct scene *scene)
{
    struct template t;
    struct err err;
    struct buf out = {0};
    struct json root;
    if (!template_compile(&t, text, &err))
        return;
    template_write(&t, scene, &out);
    bool ok = json_parse(buf_span(&out), &root);
    ENSURE(ok);
    buf_fini(&out);
    template_fini(&t);
}

static void check_name(struct span text, const struct scene *scene)
{
    struct name_template t;
    struct err err;
    struct buf out = {0};
    const struct variable *culprit = NULL;
    if (!name_compile(&t, text, &err))
        return;
    bool ok = name_write_channel(&t, scene, &out, &culprit);
    ENSURE(ok == !culprit);
    if (ok && pusher_is_name(text)) // without variables: itself
        ENSURE(span_eq(buf_span(&out), text));
    buf_fini(&out);
    name_fini(&t);
}

static void check_form(struct span body)
{
    struct buf out = {0};
    struct json root;
    if (form_to_json(body, &out))
        ENSURE(json_parse(buf_span(&out), &root) && root.kind == JSON_OBJECT);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text;
    struct span body;
    struct caller caller = {.is_known = true, .id = span_str("u"), .name = span_str("n\"")};
    struct scene scene = {.caller = &caller,
        .request_id = span_str("r"),
        .route_path = span_str("/a/{x}/b"),
        .now_ms = 1};
    split(span_of((const char *)data, size), &text, &body);
    scene.query = body;
    scene.path = body;
    if (!json_parse(body, &scene.body))
        scene.body = (struct json){0};
    if (scene.body.kind == JSON_OBJECT)
        caller.claims = scene.body;
    check_template(text, &scene);
    check_name(text, &scene);
    check_form(body);
    return 0;
}
