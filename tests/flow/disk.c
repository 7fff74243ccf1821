/* disk.c - for LD_PRELOAD: flushes do what the file says that CARILLON_TEST_DISK names.
 *
 * "well" passes them on; "refusing" fails them; "stuck" holds them until it says something else.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char read_state(void)
{
    const char *path = getenv("CARILLON_TEST_DISK");
    char state = 'w';
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return state;
    if (read(fd, &state, 1) != 1)
        state = 'w';
    close(fd);
    return state;
}

static int flush(const char *name, int fd)
{
    int (*next)(int);
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(&next, &symbol, sizeof next);
    char state;
    while ((state = read_state()) == 's')
        usleep(10000);
    if (state != 'r')
        return next(fd);
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    return flush("fsync", fd);
}

int fdatasync(int fd)
{
    return flush("fdatasync", fd);
}
