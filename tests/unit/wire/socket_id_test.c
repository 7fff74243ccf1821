/* Socket ids there and back. */
#include "base/base.h"

#include "wire/socket_id.h"

#include "test.h"

TEST(every_worker_and_slot_comes_back)
{
    for (uint32_t worker = 0; worker < 256; worker += 17) {
        for (uint32_t slot = 0; slot < 1U << 24; slot += 99991) {
            char text[SOCKET_ID_MAX];
            struct session_ref ref = {
                .slot = slot, .nonce = slot ^ 0x9e3779b9U, .worker = (uint16_t)worker};
            struct session_ref back;
            size_t n = socket_id_write(ref, text);
            CHECK(n <= sizeof text);
            CHECK(socket_id_read(span_of(text, n), &back));
            CHECK(back.slot == slot && back.worker == worker && back.nonce == ref.nonce);
        }
    }
}

TEST(what_has_not_the_form_is_refused)
{
    static const char *const wrong[] = {"", ".", "1", "1.", ".1", "1.2.3", "1.2\n", " 1.2", "1,2",
        "-1.2", "1.2:private-x", "a.b", "1.2 "};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct session_ref ref;
        CHECK(!socket_id_read(span_str(wrong[i]), &ref));
    }
}

TEST(a_number_that_is_none_of_ours_names_nobody)
{
    struct session_ref ref;
    CHECK(socket_id_read(span_str("99999999999999999999999.1"), &ref));
    CHECK_EQ(ref.nonce, 0);
    CHECK(socket_id_read(span_str("1.4294967296"), &ref));
    CHECK_EQ(ref.nonce, 0);
}

int main(void)
{
    socket_id_init();
    RUN(every_worker_and_slot_comes_back);
    RUN(what_has_not_the_form_is_refused);
    RUN(a_number_that_is_none_of_ours_names_nobody);
    return test_end();
}
