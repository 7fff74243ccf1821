/* Templates: what a client sends never becomes JSON of another shape. */
#include "base/base.h"

#include "gateway/template.h"

#include <stdlib.h>

#include "base/rand.h"
#include "caller_of.h"

static struct caller caller;
static struct scene scene;

static void set_scene(const char *body)
{
    caller = caller_of("u1", "teacher", "{\"n\":5,\"s\":\"x\",\"deep\":{\"a\":[1,2]}}");
    scene = (struct scene){.caller = &caller,
        .query = span_str("q=a%20b&q=second&bad=%FF&e="),
        .path = span_str("/rooms/r%201/x"),
        .route_path = span_str("/rooms/{room}/x"),
        .request_id = span_str("r-1"),
        .now_ms = 1795386314330,
        .progress = 25};
    bool ok = json_parse(span_str(body), &scene.body);
    ENSURE(ok);
}

/* The written text, on the heap. */
static char *written(const char *json)
{
    struct template t;
    struct err err = {0};
    struct buf out = {0};
    if (!template_compile(&t, span_str(json), &err)) {
        buf_add_str(&out, err.text);
    } else {
        template_write(&t, &scene, &out);
        template_fini(&t);
    }
    buf_add_char(&out, '\0');
    return out.p;
}

#define WRITTEN(json, wanted)                                                                      \
    do {                                                                                           \
        char *text = written(json);                                                                \
        CHECK_STR(text, wanted);                                                                   \
        free(text);                                                                                \
    } while (0)

TEST(text_without_variables_stays_as_it_is)
{
    set_scene("{}");
    WRITTEN("{\"a\": [1, true, null, \"x\\\"y\"]}", "{\"a\": [1, true, null, \"x\\\"y\"]}");
    WRITTEN("\"{{no}\"", "\"{no}\"");
}

TEST(a_lone_variable_becomes_its_json_value)
{
    set_scene("{\"n\":1.50,\"o\":{\"k\":[1]},\"s\":\"a\\u0022b\",\"z\":null}");
    WRITTEN("[\"{body.n}\",\"{body.o}\",\"{body.s}\",\"{body.z}\",\"{body.none}\"]",
        "[1.50,{\"k\":[1]},\"a\\u0022b\",null,null]");
    WRITTEN("\"{body}\"", "{\"n\":1.50,\"o\":{\"k\":[1]},\"s\":\"a\\u0022b\",\"z\":null}");
    WRITTEN("[\"{user.id}\",\"{claim.n}\",\"{claim.deep.a}\",\"{progress}\",\"{now_ms}\"]",
        "[\"u1\",5,[1,2],25,1795386314330]");
}

TEST(inside_a_string_a_value_is_escaped)
{
    set_scene("{\"s\":\"a\\\"b\\\\\",\"o\":{\"k\":\"v\"},\"n\":7}");
    WRITTEN("\"<{body.s}|{body.o}|{body.n}|{body.none}>\"",
        "\"<a\\\"b\\\\|{\\\"k\\\":\\\"v\\\"}|7|>\"");
    WRITTEN("\"at {now}\"", "\"at 2026-11-22T22:25:14.330+00:00\"");
}

TEST(names_of_members_are_no_templates)
{
    set_scene("{}");
    WRITTEN("{\"{user.id}\":\"{user.id}\"}", "{\"{user.id}\":\"u1\"}");
}

TEST(a_query_and_a_path_are_decoded)
{
    set_scene("{}");
    WRITTEN("[\"{query.q}\",\"{query.e}\",\"{query.bad}\",\"{query.none}\",\"{path.room}\"]",
        "[\"a b\",\"\",null,null,\"r 1\"]");
}

TEST(an_unknown_variable_and_a_lone_brace_are_refused)
{
    struct template t;
    struct err err;
    CHECK(!template_compile(&t, span_str("\"{nobody}\""), &err));
    CHECK(strstr(err.text, "unknown variable '{nobody}'") != NULL);
    CHECK(!template_compile(&t, span_str("\"x {user.id\""), &err));
    CHECK_STR(err.text, "a '{' has no '}'; write '{{' for a brace");
    CHECK(!template_compile(&t, span_str("\"{query.a.b}\""), &err));
    CHECK(!template_compile(&t, span_str("\"{body..a}\""), &err));
    CHECK(!template_compile(&t, span_str("{"), &err));
}

/* --- names -------------------------------------------------------------------------------------- */

static void check_name(const char *text, bool is_channel, const char *wanted, const char *culprit)
{
    struct name_template t;
    struct err err = {0};
    struct buf out = {0};
    const struct variable *v = NULL;
    bool ok = name_compile(&t, span_str(text), &err);
    CHECK_STR(err.text, "");
    ENSURE(ok);
    ok = is_channel ? name_write_channel(&t, &scene, &out, &v) : name_write(&t, &scene, &out, &v);
    buf_add_char(&out, '\0');
    CHECK_STR(ok ? out.p : NULL, wanted);
    CHECK_STR(v ? v->text : NULL, culprit);
    buf_fini(&out);
    name_fini(&t);
}

TEST(a_name_is_made_of_what_a_channel_may_have)
{
    set_scene("{\"a\":\"room-1\",\"n\":3,\"bad\":\"a|b\",\"empty\":\"\",\"o\":{}}");
    check_name("private-user-{user.id}", true, "private-user-u1", NULL);
    check_name("private-{body.a}-{body.n}", true, "private-room-1-3", NULL);
    check_name("private-{body.bad}", true, NULL, "body.bad");
    check_name("private-{body.empty}", true, NULL, "body.empty");
    check_name("private-{body.o}", true, NULL, "body.o");
    check_name("private-{body.none}", true, NULL, "body.none");
    check_name("event {body.bad}", false, "event a|b", NULL);
}

TEST(a_safe_value_can_be_undone)
{
    set_scene("{\"bad\":\"a|b\",\"plain\":\"a-b\",\"marked\":\"=a\"}");
    check_name("x-{body.bad|safe}", true, "x-=YXxi", NULL);
    check_name("x-{body.plain|safe}", true, "x-a-b", NULL);
    check_name("x-{body.marked|safe}", true, "x-=PWE", NULL);
}

TEST(who_chooses_a_name_is_known)
{
    struct name_template t;
    struct err err;
    ENSURE(name_compile(&t, span_str("private-{user.id}-{claim.x}"), &err));
    CHECK(name_is_trusted(&t) && !name_is_fixed(&t));
    name_fini(&t);
    ENSURE(name_compile(&t, span_str("private-{body.x}"), &err));
    CHECK(!name_is_trusted(&t));
    name_fini(&t);
    ENSURE(name_compile(&t, span_str("private-x"), &err));
    CHECK(name_is_trusted(&t) && name_is_fixed(&t));
    name_fini(&t);
}

/* --- a property ------------------------------------------------------------------------------------ */

/* Whatever stands in the body's string, the result has the template's two members. */
TEST(any_string_leaves_the_shape_alone)
{
    static const char bytes[] = "\"\\{}[],:a \n\x7f\xc3\xa9";
    struct template t;
    struct err err;
    ENSURE(template_compile(&t, span_str("{\"a\":\"x{body.s}y\",\"b\":\"{body.s}\"}"), &err));
    for (int round = 0; round < 2000; round++) {
        struct buf raw = {0};
        struct buf body = {0};
        struct buf out = {0};
        struct json root;
        struct json_field fields[] = {{"a", {0}}, {"b", {0}}};
        for (uint32_t n = rand_u32() % 12; n > 0; n--) {
            uint32_t i = rand_u32() % (sizeof bytes - 3);
            buf_add(&raw, bytes + i, i == sizeof bytes - 3 ? 2 : 1);
        }
        buf_add_str(&body, "{\"s\":");
        json_quote(&body, buf_span(&raw));
        buf_add_char(&body, '}');
        buf_add_char(&body, '\0');
        set_scene(body.p);
        template_write(&t, &scene, &out);
        bool ok = json_parse_fields(buf_span(&out), &root, fields, 2);
        CHECK(ok && root.kind == JSON_OBJECT && fields[0].value.kind == JSON_STRING &&
              fields[1].value.kind == JSON_STRING);
        CHECK_EQ(json_string_bytes(&fields[0].value), raw.len + 2);
        CHECK_EQ(json_string_bytes(&fields[1].value), raw.len);
        buf_fini(&raw);
        buf_fini(&body);
        buf_fini(&out);
    }
    template_fini(&t);
}

int main(void)
{
    RUN(text_without_variables_stays_as_it_is);
    RUN(a_lone_variable_becomes_its_json_value);
    RUN(inside_a_string_a_value_is_escaped);
    RUN(names_of_members_are_no_templates);
    RUN(a_query_and_a_path_are_decoded);
    RUN(an_unknown_variable_and_a_lone_brace_are_refused);
    RUN(a_name_is_made_of_what_a_channel_may_have);
    RUN(a_safe_value_can_be_undone);
    RUN(who_chooses_a_name_is_known);
    RUN(any_string_leaves_the_shape_alone);
    return test_end();
}
