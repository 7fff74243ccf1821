/* Who is on the legacy endpoints. */
#include "base/base.h"

#include "gateway/ledger.h"

#include "base/map.h"
#include "check_span.h"
#include "test.h"

static bool enter(struct ledger *l, uint64_t key, const char *user, int64_t now_ms)
{
    return ledger_enter(l, key,
        &(struct ledger_visit){.endpoint = BRIDGE_WS,
            .user = span_str(user),
            .role = span_str(user[0] ? "student" : ""),
            .client = span_str("c\"1"),
            .since_ms = now_ms},
        3);
}

TEST(users_count_once_and_places_are_limited)
{
    struct ledger_figures f;
    struct ledger *l = ledger_new();
    CHECK(enter(l, 1, "a", 10) && enter(l, 2, "a", 20) && enter(l, 3, "", 30));
    CHECK(!enter(l, 4, "b", 40));
    ledger_read(l, &f);
    CHECK_EQ(f.n[BRIDGE_WS], 3);
    CHECK_EQ(f.n_users, 1);
    CHECK_EQ(f.last_ms, 30);
    ledger_leave(l, 2);
    CHECK(enter(l, 4, "b", 50));
    ledger_leave(l, 1);
    ledger_leave(l, 3);
    ledger_read(l, &f);
    CHECK_EQ(f.n[BRIDGE_WS], 1);
    CHECK_EQ(f.n_ever[BRIDGE_WS], 4);
    CHECK_EQ(f.n_users, 1);
    ledger_free(l); // with what is left
}

TEST(it_is_told_as_json)
{
    struct buf out = {0};
    struct ledger *l = ledger_new();
    CHECK(enter(l, 1, "a", 0) && enter(l, 2, "", 0));
    ledger_join(l, span_str("public-x"));
    ledger_join(l, span_str("public-x"));
    ledger_join(l, span_str("gone"));
    ledger_part(l, span_str("gone"));
    ledger_add_channels(l, &out);
    CHECK_SPAN(buf_span(&out), "[{\"channel\":\"public-x\",\"client_count\":2}]");
    ledger_leave(l, 2);
    out.len = 0;
    ledger_add_users(l, &out);
    CHECK_SPAN(buf_span(&out),
        "[{\"user_id\":\"a\",\"role\":\"student\",\"client_id\":\"c\\\"1\",\"endpoint\":\"/ws\","
        "\"since\":\"1970-01-01T00:00:00.000Z\"}]");
    out.len = 0;
    ledger_add_roles(l, &out);
    CHECK_SPAN(buf_span(&out), "{\"student\":1}");
    buf_fini(&out);
    ledger_free(l);
}

int main(void)
{
    hash_init();
    RUN(users_count_once_and_places_are_limited);
    RUN(it_is_told_as_json);
    return test_end();
}
