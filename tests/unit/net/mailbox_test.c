/* Letters from several threads. */
#include "base/base.h"

#include "net/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "test.h"

enum { SENDERS = 4, LETTERS = 20000 };

static struct mailbox box;

struct numbered {
    struct mail mail; // kind: the sender
    int number;
};

static void *send_all(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < LETTERS; i++) {
        struct numbered *n = mem_zero(sizeof *n);
        n->mail.kind = sender;
        n->number = i;
        mailbox_post(&box, &n->mail);
    }
    return NULL;
}

TEST(each_senders_letters_come_in_its_order_and_none_is_lost)
{
    pthread_t threads[SENDERS];
    int next[SENDERS] = {0};
    int n = 0;
    mailbox_init(&box);
    for (unsigned i = 0; i < SENDERS; i++)
        ENSURE(pthread_create(&threads[i], NULL, send_all, (void *)(uintptr_t)i) == 0);
    while (n < SENDERS * LETTERS) {
        struct pollfd bell = {.fd = box.fd, .events = POLLIN};
        if (poll(&bell, 1, 10000) != 1)
            break; // a lost wake-up: the count below tells
        struct mail *letter = mailbox_take(&box);
        while (letter) {
            struct numbered *got = CONTAINER_OF(letter, struct numbered, mail);
            letter = letter->next;
            CHECK_EQ(got->number, next[got->mail.kind]);
            next[got->mail.kind]++;
            n++;
            free(got);
        }
    }
    CHECK_EQ(n, SENDERS * LETTERS);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(mailbox_is_empty(&box));
    mailbox_fini(&box);
}

int main(void)
{
    RUN(each_senders_letters_come_in_its_order_and_none_is_lost);
    return test_end();
}
