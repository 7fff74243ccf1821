/* Signatures against vectors that others have printed. */
#include "base/base.h"

#include "wire/sign.h"

#include "test.h"

static const char secret[] = "7ad3773142a6692b25b8";

static bool is_signature(const char *key, const char *text, const char *want)
{
    struct sign_key k;
    struct span part = span_str(text);
    sign_key_init(&k, span_str(key));
    return sign_check(&k, &part, 1, span_str(want));
}

TEST(the_protocols_own_vectors_hold)
{
    CHECK(is_signature(secret, "1234.1234:private-foobar",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"));
    CHECK(is_signature(secret,
        "1234.1234:presence-foobar:{\"user_id\":10,\"user_info\":{\"name\":\"Mr. Channels\"}}",
        "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"));
    CHECK(is_signature(secret, "1234.1234::user::{\"id\":\"12345\"}",
        "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"));
}

TEST(parts_are_signed_as_if_joined)
{
    struct sign_key k;
    struct span parts[] = {
        span_str("1234.1234"), span_str(":"), span_of(NULL, 0), span_str("private-foobar")};
    char hex[SIGN_HEX];
    sign_key_init(&k, span_str(secret));
    sign_hex(&k, parts, COUNT_OF(parts), hex);
    CHECK(memcmp(hex, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
              sizeof hex) == 0);
}

TEST(upper_case_is_the_same_signature_and_one_digit_off_is_not)
{
    CHECK(is_signature(secret, "1234.1234:private-foobar",
        "58DF8B0C36D6982B82C3ECF6B4662E34FE8C25BBA48F5369F135BF843651C3A4"));
    CHECK(!is_signature(secret, "1234.1234:private-foobar",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a5"));
    CHECK(!is_signature(secret, "1234.1234:private-foobar",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a"));
    CHECK(!is_signature(secret, "1234.1234:private-foobar", ""));
}

TEST(a_secret_longer_than_a_block_is_hashed_first)
{
    /* RFC 4231, test case 6 */
    char key[131];
    struct sign_key k;
    struct span text = span_str("Test Using Larger Than Block-Size Key - Hash Key First");
    memset(key, 0xaa, sizeof key);
    sign_key_init(&k, span_of(key, sizeof key));
    CHECK(sign_check(&k, &text, 1,
        span_str("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")));
}

TEST(a_bodys_md5_is_lower_case_hex)
{
    char hex[MD5_HEX];
    sign_md5_hex(span_str("{}"), hex);
    CHECK(memcmp(hex, "99914b932bd37a50b983c5e7c90ae93b", sizeof hex) == 0);
    sign_md5_hex(span_of("", 0), hex);
    CHECK(memcmp(hex, "d41d8cd98f00b204e9800998ecf8427e", sizeof hex) == 0);
}

int main(void)
{
    CHECK(sign_self_check());
    RUN(the_protocols_own_vectors_hold);
    RUN(parts_are_signed_as_if_joined);
    RUN(upper_case_is_the_same_signature_and_one_digit_off_is_not);
    RUN(a_secret_longer_than_a_block_is_hashed_first);
    RUN(a_bodys_md5_is_lower_case_hex);
    return test_end();
}
