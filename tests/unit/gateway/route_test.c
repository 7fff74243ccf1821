/* Which route a request is for. */
#include "base/base.h"

#include "gateway/route.h"
#include "test.h"

/* Nothing here writes to these texts. */
#define TEXT(text) ((char *)(uintptr_t)(text))

static char *one_paths[] = {TEXT("/a/b"), TEXT("/alias")};
static char *two_paths[] = {TEXT("/rooms/{room}/users")};
static const struct route routes[] = {
    {.name = TEXT("one"), .method = ROUTE_POST, .paths = one_paths, .n_paths = 2},
    {.name = TEXT("other"), .method = ROUTE_GET, .paths = one_paths, .n_paths = 1},
    {.name = TEXT("two"), .method = ROUTE_DELETE, .paths = two_paths, .n_paths = 1},
};

static const char *found(const char *method, const char *path, bool *is_path)
{
    const struct route *r =
        route_find(routes, COUNT_OF(routes), span_str(path), span_str(method), is_path);
    return r ? r->name : NULL;
}

TEST(a_route_is_found_by_path_and_method)
{
    bool is_path;
    CHECK_STR(found("POST", "/a/b", &is_path), "one");
    CHECK_STR(found("POST", "/alias", &is_path), "one");
    CHECK_STR(found("GET", "/a/b", &is_path), "other");
    CHECK_STR(found("HEAD", "/a/b", &is_path), "other");
    CHECK_STR(found("DELETE", "/rooms/x%20y/users", &is_path), "two");
    CHECK(is_path);
}

TEST(another_method_of_a_path_is_told_from_another_path)
{
    bool is_path;
    CHECK_STR(found("PUT", "/a/b", &is_path), NULL);
    CHECK(is_path);
    CHECK_STR(found("POST", "/a/b/", &is_path), NULL);
    CHECK(!is_path);
    static const char *const others[] = {
        "/a", "/a/b/c", "/A/b", "", "/", "/rooms//users", "/rooms/x", "/rooms/x/users/", "alias"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        CHECK_STR(found("POST", others[i], &is_path), NULL);
        CHECK(!is_path);
    }
}

TEST(the_methods_of_a_path_are_listed)
{
    struct buf out = {0};
    route_add_methods(routes, COUNT_OF(routes), span_str("/a/b"), &out);
    buf_add_char(&out, '\0');
    CHECK_STR(out.p, "POST, GET, OPTIONS");
    buf_fini(&out);
}

static struct chosen chosen_of(const struct route *r, bool is_strict, const char *body)
{
    struct json root;
    ENSURE(json_parse(span_str(body), &root));
    return route_choose(r, is_strict, &root);
}

TEST(a_field_dispatches)
{
    struct dispatch_case cases[] = {
        {.value = TEXT("a"), .route = -1}, {.value = TEXT("b"), .route = 3}};
    struct route r = {
        .dispatch = {.field = TEXT("type"), .cases = cases, .n_cases = COUNT_OF(cases)}};
    CHECK(chosen_of(&r, false, "{\"type\":\"a\"}").action == &cases[0].action);
    CHECK(chosen_of(&r, true, "{\"type\":\"\\u0062\"}").one == &cases[1]);
    CHECK(chosen_of(&r, false, "{\"type\":\"c\"}").action == &r.dispatch.fallback);
    CHECK(chosen_of(&r, false, "{\"type\":7}").action == &r.dispatch.fallback);
    CHECK(!chosen_of(&r, true, "{\"type\":\"c\"}").action);
    r.dispatch.otherwise = DISPATCH_REJECT;
    CHECK(!chosen_of(&r, false, "{}").action);
    r.dispatch.field = NULL;
    CHECK(chosen_of(&r, true, "{}").action == &r.action);
}

int main(void)
{
    RUN(a_route_is_found_by_path_and_method);
    RUN(another_method_of_a_path_is_told_from_another_path);
    RUN(the_methods_of_a_path_are_listed);
    RUN(a_field_dispatches);
    return test_end();
}
