/* Pages of history as JSON. */
#include "base/base.h"

#include "hub/page.h"

#include "test.h"

static const struct kept kept = {
    .top = {.epoch = "abc", .offset = 9}, .oldest = 4, .bytes = 77, .ttl_s = 60};

static const char *text_of(struct buf *out)
{
    buf_add_char(out, '\0');
    return out->p;
}

TEST(a_page_that_ends_names_the_next)
{
    struct history_query q = {.limit = 2};
    struct buf out = {0};
    struct page page;
    page_begin(&page, &out, span_str("a"), &kept, &q);
    page_add(&page, 4, span_str("\"e\""), span_str("\"x\""), 5);
    page_add(&page, 5, span_str("\"f\""), span_of(NULL, 0), 6);
    page_end(&page, true);
    CHECK_STR(text_of(&out),
        "{\"channel\":\"a\",\"epoch\":\"abc\",\"oldest\":4,\"newest\":9,\"items\":["
        "{\"id\":\"abc:4\",\"offset\":4,\"name\":\"e\",\"data\":\"x\",\"time_ms\":5},"
        "{\"id\":\"abc:5\",\"offset\":5,\"name\":\"f\",\"data\":null,\"time_ms\":6}],"
        "\"has_more\":true,\"complete\":false,\"cursor\":\"fabc:5:9:0:0\"}");
    buf_fini(&out);
}

TEST(the_other_bound_of_a_question_stays)
{
    struct history_query q = {.is_backwards = true,
        .has_since = true,
        .since = {.epoch = "abc", .offset = 6},
        .limit = 1};
    struct buf out = {0};
    struct page page;
    page_begin(&page, &out, span_str("a"), &kept, &q);
    page_add(&page, 9, span_str("\"e\""), span_str("\"x\""), 5);
    page_end(&page, true);
    CHECK(strstr(text_of(&out), "\"complete\":true,\"cursor\":\"babc:9:6:0:0\"}"));
    buf_fini(&out);
}

TEST(nothing_is_behind_the_newest)
{
    static const uint64_t since[] = {9, 10, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(since); i++) {
        struct history_query q = {.has_since = true, .since = {.epoch = "abc", .offset = since[i]}};
        uint64_t low;
        uint64_t high;
        page_range(&q, &kept.top, &low, &high);
        CHECK(low > high);
    }
}

TEST(a_question_without_items_says_what_is_kept)
{
    struct buf out = {0};
    struct page page;
    page_begin(&page, &out, span_str("a"), &kept, NULL);
    page_end(&page, false);
    CHECK_STR(text_of(&out), "{\"channel\":\"a\",\"epoch\":\"abc\",\"oldest\":4,\"newest\":9}");
    out.len = 0;
    page_add_state(&out, &kept);
    CHECK_STR(
        text_of(&out), "{\"epoch\":\"abc\",\"oldest\":4,\"newest\":9,\"bytes\":77,\"ttl_s\":60}");
    buf_fini(&out);
}

TEST(the_range_of_a_question)
{
    uint64_t low;
    uint64_t high;
    struct history_query q = {0};
    page_range(&q, &kept.top, &low, &high);
    CHECK_EQ(low, 1);
    CHECK_EQ(high, 9);
    q.has_since = q.has_until = true;
    q.since.offset = 3;
    q.until.offset = 100;
    page_range(&q, &kept.top, &low, &high);
    CHECK_EQ(low, 4);
    CHECK_EQ(high, 9);
    q.until.offset = 2;
    page_range(&q, &kept.top, &low, &high);
    CHECK(high < low);
}

int main(void)
{
    RUN(a_page_that_ends_names_the_next);
    RUN(the_other_bound_of_a_question_stays);
    RUN(nothing_is_behind_the_newest);
    RUN(a_question_without_items_says_what_is_kept);
    RUN(the_range_of_a_question);
    return test_end();
}
