/* Apps looked up by id, key and slot. */
#include "base/base.h"

#include "serve/config.h"

#include <stdio.h>

#include "base/mem.h"
#include "test.h"

enum { APPS = 50 };

static char *text_of(const char *word, int i)
{
    char text[20];
    snprintf(text, sizeof text, "%s%d", word, i);
    return mem_dup_str(text);
}

/* Fifty apps, each with as many keys as its number's last digit says and one more; slots go
 * backwards and leave holes. */
static struct config *make(void)
{
    struct config *c = config_new();
    c->apps = mem_zero(APPS * sizeof *c->apps);
    c->n_apps = APPS;
    for (int i = 0; i < APPS; i++) {
        struct app *app = &c->apps[i];
        app->id = text_of("id", i);
        app->slot = (uint32_t)(2 * (APPS - i));
        app->n_keys = (size_t)(i % 10) + 1;
        app->keys = mem_zero(app->n_keys * sizeof *app->keys);
        for (size_t k = 0; k < app->n_keys; k++) {
            app->keys[k].key = text_of("key", i * 10 + (int)k);
            app->keys[k].secret = text_of("secret", i);
        }
    }
    config_index_apps(c);
    return c;
}

TEST(an_app_is_found_by_its_id_by_each_key_and_by_its_slot)
{
    struct config *c = make();
    for (size_t i = 0; i < APPS; i++) {
        const struct app *app = &c->apps[i];
        CHECK(config_app_by_id(c, span_str(app->id)) == app);
        CHECK(config_app_by_slot(c, app->slot) == app);
        for (size_t k = 0; k < app->n_keys; k++)
            CHECK(config_app_by_key(c, span_str(app->keys[k].key)) == app);
    }
    config_drop(c);
}

TEST(nobody_is_found_by_another_name)
{
    struct config *c = make();
    static const char *const names[] = {"", "id", "id50", "ID1", "id1 ", "key9999", "secret1"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CHECK(config_app_by_id(c, span_str(names[i])) == NULL);
        CHECK(config_app_by_key(c, span_str(names[i])) == NULL);
    }
    CHECK(config_app_by_id(c, span_str("key1")) == NULL);
    CHECK(config_app_by_key(c, span_str("id1")) == NULL);
    CHECK(config_app_by_slot(c, 0) == NULL);
    CHECK(config_app_by_slot(c, 3) == NULL);
    CHECK(config_app_by_slot(c, 2 * APPS + 1) == NULL);
    CHECK(config_app_by_slot(c, UINT32_MAX) == NULL);
    config_drop(c);
}

TEST(a_configuration_without_apps_finds_nobody)
{
    struct config *c = config_new();
    config_index_apps(c);
    CHECK(config_app_by_id(c, span_str("a")) == NULL);
    CHECK(config_app_by_key(c, span_str("a")) == NULL);
    CHECK(config_app_by_slot(c, 0) == NULL);
    config_drop(c);
}

TEST(the_last_holder_frees)
{
    struct config *c = make();
    config_hold(c);
    config_drop(c);
    CHECK(config_app_by_id(c, span_str("id7")) == &c->apps[7]);
    config_drop(c); // the leak checker is the judge
}

int main(void)
{
    RUN(an_app_is_found_by_its_id_by_each_key_and_by_its_slot);
    RUN(nobody_is_found_by_another_name);
    RUN(a_configuration_without_apps_finds_nobody);
    RUN(the_last_holder_frees);
    return test_end();
}
