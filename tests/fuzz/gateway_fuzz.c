/* The group gateway of a file: read, or refused with a place; what is read describes itself in
 * valid JSON. */
#include "base/base.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char start[] =
    "gateway:\n  auth: {jwt: {keys: [{alg: HS256, secret: 0123456789abcdef0123456789abcdef}]}}\n"
    "  routes:\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct err err = {0};
    int fd = memfd_create("config", MFD_CLOEXEC);
    ENSURE(fd >= 0);
    bool is_whole = size > 0 && data[0] == '!'; // else the input is a list of routes
    if (!is_whole)
        ENSURE(write(fd, start, sizeof start - 1) == (ssize_t)sizeof start - 1);
    ENSURE(write(fd, data + is_whole, size - is_whole) == (ssize_t)(size - is_whole));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct config *config = config_load(&(struct config_args){.file = path}, &err);
    if (!config) {
        ENSURE(err.text[0]);
    } else if (config->gateway) {
        struct json root;
        ENSURE(json_parse(buf_span(&config->gateway->openapi), &root));
    }
    config_drop(config);
    close(fd);
    return 0;
}
