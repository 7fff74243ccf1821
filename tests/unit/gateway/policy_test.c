/* Rules: whose channel it is, and who may what there. */
#include "base/base.h"

#include "gateway/policy.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "caller_of.h"

static bool fits(const char *pattern, const char *text, const struct caller *caller)
{
    struct pattern p;
    struct err err = {0};
    bool ok = pattern_compile(&p, span_str(pattern), &err);
    CHECK_STR(err.text, "");
    ENSURE(ok);
    ok = pattern_fits(&p, span_str(text), caller);
    pattern_fini(&p);
    return ok;
}

TEST(a_pattern_knows_the_caller)
{
    struct caller c = caller_of("7", "teacher",
        "{\"team\":\"red\",\"classes\":[\"a\",\"b-1\",3],"
        "\"o\":{\"x\":\"y\"},\"none\":null}");
    CHECK(fits("private-user-{user.id}", "private-user-7", &c));
    CHECK(!fits("private-user-{user.id}", "private-user-77", &c));
    CHECK(!fits("private-user-{user.id}", "private-user-", &c));
    CHECK(fits("private-{user.role}", "private-teacher", &c));
    CHECK(fits("private-{claim.team}-*", "private-red-x", &c));
    CHECK(fits("private-class-{claim.classes}", "private-class-b-1", &c));
    CHECK(fits("private-class-{claim.classes}", "private-class-3", &c));
    CHECK(!fits("private-class-{claim.classes}", "private-class-c", &c));
    CHECK(fits("x-{claim.o.x}", "x-y", &c));
    CHECK(!fits("x-{claim.o}", "x-{\"x\":\"y\"}", &c));
    CHECK(!fits("x-{claim.none}", "x-", &c));
    CHECK(!fits("x-{claim.absent}", "x-", &c));
    CHECK(!fits("private-user-{user.id}", "private-user-7", NULL));
}

TEST(what_a_channel_cannot_hold_fits_safely)
{
    struct caller c = caller_of("auth0|x", "student", "{}");
    CHECK(fits("private-user-{user.id|safe}", "private-user-=YXV0aDB8eA", &c));
    CHECK(!fits("private-user-{user.id}", "private-user-=YXV0aDB8eA", &c));
}

TEST(stars_stand_for_anything)
{
    CHECK(fits("*", "", NULL) && fits("*", "abc", NULL) && fits("a*c", "ac", NULL));
    CHECK(fits("a*b*c", "axxbyybzc", NULL) && !fits("a*b*c", "acb", NULL));
    CHECK(fits("**a**", "bab", NULL) && !fits("a", "ab", NULL));
}

/* Against a small recursive one. */
static bool glob(const char *p, const char *t) // NOLINT(misc-no-recursion): the pattern is short
{
    if (!*p)
        return !*t;
    if (*p == '*')
        return glob(p + 1, t) || (*t && glob(p, t + 1));
    return *p == *t && glob(p + 1, t + 1);
}

TEST(random_patterns_fit_as_a_glob_does)
{
    for (int round = 0; round < 20000; round++) {
        char p[9] = "";
        char t[9] = "";
        for (uint32_t i = 0, n = 1 + rand_u32() % 7; i < n; i++)
            p[i] = "ab*"[rand_u32() % 3];
        for (uint32_t i = 0, n = rand_u32() % 8; i < n; i++)
            t[i] = "ab"[rand_u32() % 2];
        if (fits(p, t, NULL) != glob(p, t))
            printf("pattern %s, text %s\n", p, t);
        CHECK(fits(p, t, NULL) == glob(p, t));
    }
}

TEST(bad_patterns_are_refused)
{
    static const char *const bad[] = {
        "", "a{user.id", "{body.x}", "{now}", "{nobody}", "*a*a*a*a*a*a*a*a*"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct pattern p;
        struct err err = {0};
        CHECK(!pattern_compile(&p, span_str(bad[i]), &err));
        CHECK(err.text[0] != '\0');
    }
}

/* --- policy -------------------------------------------------------------------------------------- */

static struct policy policy;

static void add_role(const char *name, uint32_t level)
{
    policy.roles.list[policy.roles.n++] = (struct role){mem_dup_str(name), level};
}

static struct channel_rule *add_rule(const char *pattern)
{
    struct err err;
    policy.rules = mem_array(policy.rules, policy.n_rules + 1, sizeof *policy.rules);
    struct channel_rule *rule = &policy.rules[policy.n_rules++];
    *rule = (struct channel_rule){0};
    ENSURE(pattern_compile(&rule->pattern, span_str(pattern), &err));
    return rule;
}

static void let(struct channel_rule *rule, enum policy_action action, const char *word)
{
    struct err err = {0};
    rule->is_given[action] = true;
    bool ok = who_add(&rule->may[action], &policy.roles, span_str(word), &err);
    CHECK_STR(err.text, "");
    CHECK(ok);
}

static void set_policy(void)
{
    add_role("student", 1);
    add_role("teacher", 2);
    add_role("admin", 3);
    let(add_rule("private-user-{user.id}"), POLICY_JOIN, "user");
    let(add_rule("private-user-*"), POLICY_JOIN, "admin");
    struct channel_rule *staff = add_rule("private-staff");
    let(staff, POLICY_JOIN, "teacher+");
    let(staff, POLICY_CLIENT_EVENTS, "admin");
    let(add_rule("public-news"), POLICY_PUBLISH, "teacher");
    let(add_rule("public-closed"), POLICY_JOIN, "nobody");
}

static bool may(const char *id, const char *role, const char *channel, enum policy_action action)
{
    struct caller c = caller_of(id, role, "{}");
    return policy_decide(&policy, &c, span_str(channel), action).is_allowed;
}

TEST(the_first_rule_that_fits_decides)
{
    set_policy();
    CHECK(may("1", "student", "private-user-1", POLICY_JOIN));
    CHECK(!may("1", "student", "private-user-2", POLICY_JOIN));
    CHECK(may("1", "admin", "private-user-2", POLICY_JOIN));
    CHECK(!may("1", "admin", "private-user-2", POLICY_PUBLISH));
    CHECK(may("1", "teacher", "private-staff", POLICY_JOIN));
    CHECK(may("1", "admin", "private-staff", POLICY_JOIN));
    CHECK(!may("1", "student", "private-staff", POLICY_JOIN));
    CHECK(may("1", "teacher", "public-news", POLICY_PUBLISH));
    CHECK(!may("1", "admin", "public-news", POLICY_PUBLISH)); // exactly that role
    policy_fini(&policy);
}

TEST(without_a_rule_only_public_channels_are_open)
{
    set_policy();
    CHECK(may("1", "student", "anything", POLICY_JOIN));
    CHECK(may("1", "student", "public-news", POLICY_JOIN));
    CHECK(!may("1", "student", "public-closed", POLICY_JOIN));
    CHECK(!may("1", "admin", "anything", POLICY_PUBLISH));
    CHECK(!may("1", "admin", "private-other", POLICY_JOIN));
    CHECK(!may("1", "admin", "presence-other", POLICY_JOIN));
    CHECK(!may("1", "admin", "#server-to-user-1", POLICY_JOIN));
    struct decision d = policy_decide(&policy, NULL, span_str("anything"), POLICY_JOIN);
    CHECK(d.is_allowed && !d.rule);
    d = policy_decide(&policy, NULL, span_str("private-staff"), POLICY_JOIN);
    CHECK(!d.is_allowed && d.rule == &policy.rules[2]);
    policy_fini(&policy);
}

TEST(client_events_and_history_follow_join)
{
    set_policy();
    CHECK(may("1", "student", "private-user-1", POLICY_CLIENT_EVENTS));
    CHECK(may("1", "student", "private-user-1", POLICY_HISTORY));
    CHECK(!may("1", "teacher", "private-staff", POLICY_CLIENT_EVENTS));
    CHECK(may("1", "admin", "private-staff", POLICY_CLIENT_EVENTS));
    CHECK(may("1", "teacher", "private-staff", POLICY_HISTORY));
    policy_fini(&policy);
}

TEST(events_have_rules_of_their_own)
{
    struct err err;
    struct caller student = caller_of("1", "student", "{}");
    struct caller admin = caller_of("2", "admin", "{}");
    set_policy();
    CHECK(policy_allows_event(&policy, &student, span_str("c"), span_str("e"))); // no rules
    policy.events = mem_zero(2 * sizeof *policy.events);
    policy.n_events = 2;
    policy.events[0].names = mem_zero(sizeof *policy.events[0].names);
    policy.events[0].n_names = 1;
    ENSURE(pattern_compile(&policy.events[0].names[0], span_str("admin-*"), &err));
    ENSURE(who_add(&policy.events[0].may, &policy.roles, span_str("admin"), &err));
    ENSURE(pattern_compile(&policy.events[1].channel, span_str("own-{user.id}"), &err));
    ENSURE(who_add(&policy.events[1].may, &policy.roles, span_str("user"), &err));
    CHECK(!policy_allows_event(&policy, &student, span_str("own-1"), span_str("admin-x")));
    CHECK(policy_allows_event(&policy, &admin, span_str("own-1"), span_str("admin-x")));
    CHECK(policy_allows_event(&policy, &student, span_str("own-1"), span_str("x")));
    CHECK(!policy_allows_event(&policy, &student, span_str("own-2"), span_str("x")));
    policy_fini(&policy);
}

TEST(a_word_that_is_nobody_is_refused)
{
    struct err err = {0};
    struct who who = {0};
    set_policy();
    CHECK(!who_add(&who, &policy.roles, span_str("parent"), &err));
    CHECK(strstr(err.text, "'parent' is nobody") == err.text);
    CHECK(!who_add(&who, &policy.roles, span_str("user+"), &err));
    CHECK(who_add(&who, &policy.roles, span_str("user"), &err));
    CHECK(!who_add(&who, &policy.roles, span_str("parent"), &err)); // whatever stands before it
    who = (struct who){0};
    CHECK(who_add(&who, &policy.roles, span_str("nobody"), &err));
    CHECK(!who_holds(&who, &policy.roles, NULL));
    CHECK(who_add(&who, &policy.roles, span_str("anyone"), &err));
    CHECK(who_holds(&who, &policy.roles, NULL));
    policy_fini(&policy);
}

int main(void)
{
    RUN(a_pattern_knows_the_caller);
    RUN(what_a_channel_cannot_hold_fits_safely);
    RUN(stars_stand_for_anything);
    RUN(random_patterns_fit_as_a_glob_does);
    RUN(bad_patterns_are_refused);
    RUN(the_first_rule_that_fits_decides);
    RUN(without_a_rule_only_public_channels_are_open);
    RUN(client_events_and_history_follow_join);
    RUN(events_have_rules_of_their_own);
    RUN(a_word_that_is_nobody_is_refused);
    return test_end();
}
