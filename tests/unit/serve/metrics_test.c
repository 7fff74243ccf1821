/* /metrics: every line in the format, every number where it belongs. */
#include "base/base.h"

#include "serve/metrics.h"

#include "served.h"
#include "wire/pusher.h"

static struct buf out;

static void write_metrics(void)
{
    out.len = 0;
    metrics_write(served.workers[0], &out);
    buf_add_char(&out, '\0');
}

static bool has_line(const char *line)
{
    const char *at = strstr(out.p, line);
    bool ok = at && (at == out.p || at[-1] == '\n') && at[strlen(line)] == '\n';
    if (!ok)
        printf("    there is no '%s'\n", line);
    return ok;
}

/* --- the format ------------------------------------------------------------------------------- */

static size_t name_len(const char *line)
{
    return strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
}

/* NAME or NAME{LABEL="VALUE",...}, a blank and a number. */
static bool is_sample(const char *line)
{
    const char *at = line + name_len(line);
    if (*at == '{') {
        do {
            at++;
            size_t n = name_len(at);
            at += n;
            if (!n || at[0] != '=' || at[1] != '"')
                return false;
            for (at += 2; *at && *at != '"'; at++)
                if (*at == '\\' && !*++at)
                    return false;
            if (*at++ != '"')
                return false;
        } while (*at == ',');
        if (*at++ != '}')
            return false;
    }
    char *end;
    (void)strtod(at, &end);
    return *at == ' ' && at[1] != ' ' && end > at + 1 && !*end;
}

static void check_format(void)
{
    char family[100] = "";
    char want[140];
    for (char *line = strtok(out.p, "\n"); line; line = strtok(NULL, "\n")) {
        size_t n = name_len(line);
        if (strncmp(line, "# HELP ", 7) == 0) {
            snprintf(family, sizeof family, "%.*s", (int)name_len(line + 7), line + 7);
            snprintf(want, sizeof want, "# TYPE %s ", family);
            line = strtok(NULL, "\n");
            CHECK(line && strncmp(line, want, strlen(want)) == 0);
        } else if (!is_sample(line) || strncmp(line, "carillon_", 9) != 0) {
            CHECK_STR(line, "a sample");
        } else if (n < strlen(family) || strncmp(line, family, strlen(family)) != 0) {
            CHECK_STR(line, family); // samples stand behind their family's head
        }
    }
}

TEST(every_line_is_a_help_a_type_or_a_sample_of_the_family_above)
{
    START(.n_workers = 3);
    write_metrics();
    CHECK(out.len > 1000);
    check_format();
    end();
}

TEST(each_family_has_one_head_and_ends_with_total_when_it_counts)
{
    START(0);
    write_metrics();
    const char *from = out.p;
    for (const char *at; (at = strstr(from, "# TYPE ")); from = at + 7) {
        char name[100];
        char head[120];
        snprintf(name, sizeof name, "%.*s", (int)name_len(at + 7), at + 7);
        snprintf(head, sizeof head, "# TYPE %s ", name);
        CHECK(strstr(at + 7, head) == NULL);
        bool is_counter = strncmp(at + strlen(head), "counter\n", 8) == 0;
        bool ends_with_total = strcmp(name + strlen(name) - 6, "_total") == 0;
        if (is_counter != ends_with_total)
            CHECK_STR(name, "named for its type");
    }
    end();
}

/* --- the numbers ------------------------------------------------------------------------------- */

TEST(what_has_happened_is_shown_by_worker)
{
    struct peer p;
    struct peer q;
    START(.n_workers = 2);
    peer_open(&p, 0);
    peer_open_session(&q, 1);
    message(&q, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news\"}}");
    CHECK(gets(&q, "subscription_succeeded"));
    CHECK(asks(&p, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "ok\n"));
    CHECK(asks(&p, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", "404 NOT"));
    turn();
    write_metrics();
    CHECK(has_line("carillon_connections{worker=\"0\"} 1"));
    CHECK(has_line("carillon_connections{worker=\"1\"} 1"));
    CHECK(has_line("carillon_sessions{worker=\"0\",transport=\"websocket\"} 0"));
    CHECK(has_line("carillon_sessions{worker=\"1\",transport=\"websocket\"} 1"));
    CHECK(has_line("carillon_subscriptions{worker=\"1\"} 1"));
    CHECK(has_line("carillon_accepted_connections_total{worker=\"0\"} 1"));
    CHECK(has_line("carillon_sessions_opened_total{worker=\"1\"} 1"));
    CHECK(has_line("carillon_messages_in_total{worker=\"0\"} 0"));
    CHECK(has_line("carillon_messages_in_total{worker=\"1\"} 1"));
    CHECK(has_line("carillon_http_requests_total{status=\"200\"} 1"));
    CHECK(has_line("carillon_http_requests_total{status=\"404\"} 1"));
    CHECK(strstr(out.p, "status=\"500\"") == NULL); // never happened
    CHECK(has_line("carillon_app_connections{app=\"app-id\"} 1"));
    CHECK(has_line("carillon_closes_total{reason=\"peer_gone\",code=\"0\"} 0"));
    CHECK(has_line("carillon_closes_total{reason=\"pong_timeout\",code=\"4201\"} 0"));
    peer_close(&q);
    write_metrics();
    CHECK(has_line("carillon_closes_total{reason=\"peer_gone\",code=\"0\"} 1"));
    CHECK(has_line("carillon_connections{worker=\"1\"} 0"));
    CHECK(has_line("carillon_app_connections{app=\"app-id\"} 0"));
    peer_close(&p);
    end();
}

TEST(the_process_tells_of_itself)
{
    START(.n_workers = 2);
    write_metrics();
    CHECK(has_line("carillon_workers 2"));
    CHECK(has_line("carillon_build_info{version=\"9.8.7\"} 1"));
    CHECK(has_line("carillon_process_start_time_seconds 1234567890"));
    CHECK(strstr(out.p, "carillon_process_resident_bytes 0\n") == NULL);
    unsigned before = 0;
    unsigned after = 0;
    int fd[2];
    static const char name[] = "\ncarillon_process_descriptors ";
    const char *at = strstr(out.p, name);
    CHECK(at && sscanf(at + sizeof name - 1, "%u", &before) == 1);
    open_pair(fd);
    write_metrics();
    at = strstr(out.p, name);
    CHECK(at && sscanf(at + sizeof name - 1, "%u", &after) == 1);
    CHECK_EQ(after, before + 2);
    close(fd[0]);
    close(fd[1]);
    end();
}

TEST(the_latency_is_a_histogram_that_adds_up)
{
    struct peer p;
    START(0);
    peer_open_session(&p, 0);
    message(&p, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news\"}}");
    CHECK(gets(&p, "subscription_succeeded"));
    struct letter ask = {.mail.kind = LETTER_PUBLISH, .channel = span_str("news")};
    ask.frame = pusher_event(span_str("\"e\""), ask.channel, span_str("\"1\""), span_of(NULL, 0));
    ask.frame->accepted_us = clock_us();
    CHECK_EQ(hub_ask(served.workers[0]->hub, &ask), HUB_DONE);
    frame_drop(ask.frame);
    CHECK(gets(&p, "\"event\":\"e\""));
    write_metrics();
    static const char bucket[] = "carillon_publish_to_flush_seconds_bucket{le=\"";
    unsigned last = 0;
    unsigned n_buckets = 0;
    for (const char *at = out.p; (at = strstr(at, bucket)); n_buckets++) {
        unsigned n = 0;
        at = strstr(at, "\"} ");
        CHECK(at && sscanf(at + 3, "%u", &n) == 1 && n >= last);
        last = n;
    }
    CHECK_EQ(n_buckets, LATENCY_BUCKETS);
    CHECK_EQ(last, 1);
    CHECK(has_line("carillon_publish_to_flush_seconds_bucket{le=\"+Inf\"} 1"));
    CHECK(has_line("carillon_publish_to_flush_seconds_count 1"));
    peer_close(&p);
    end();
}

TEST(an_apps_id_is_escaped_in_its_label)
{
    START(.app = "a\"b\\c:k:s");
    write_metrics();
    CHECK(has_line("carillon_app_connections{app=\"a\\\"b\\\\c\"} 0"));
    check_format();
    end();
}

int main(void)
{
    served_init();
    RUN(every_line_is_a_help_a_type_or_a_sample_of_the_family_above);
    RUN(each_family_has_one_head_and_ends_with_total_when_it_counts);
    RUN(what_has_happened_is_shown_by_worker);
    RUN(the_process_tells_of_itself);
    RUN(the_latency_is_a_histogram_that_adds_up);
    RUN(an_apps_id_is_escaped_in_its_label);
    buf_fini(&out);
    return test_end();
}
