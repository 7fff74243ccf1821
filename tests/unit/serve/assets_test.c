/* Files that live in the binary; a build without the demo has none. */
#include "base/base.h"

#include "serve/assets.h"

#include "test.h"

TEST(every_row_is_found_by_its_whole_path)
{
    for (const struct asset *a = assets_table; a->path; a++) {
        struct span path = span_str(a->path);
        CHECK(asset_find(path) == a);
        CHECK(asset_find(span_of(path.p, path.len - 1)) == NULL);
        CHECK_EQ(a->path[0], '/');
        CHECK(a->len > 0);
        CHECK(strchr(a->type, '/') != NULL);
    }
}

TEST(nothing_else_is_found)
{
    static const char *const paths[] = {
        "", "//", "/index.html", "demo.js", "/DEMO.JS", "/demo.js/"};
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        CHECK(asset_find(span_str(paths[i])) == NULL);
}

int main(void)
{
    RUN(every_row_is_found_by_its_whole_path);
    RUN(nothing_else_is_found);
    return test_end();
}
