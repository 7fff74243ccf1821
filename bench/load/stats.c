/* stats.c - what a run cost the server, and how long events took. */
#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Sixteen linear steps per power of two: quantiles are right within 6 %. */
static size_t slot_of(uint64_t value)
{
    if (value < 16)
        return (size_t)value;
    size_t exponent = 63U - (size_t)__builtin_clzll(value);
    return (exponent - 3) * 16 + ((value >> (exponent - 4)) & 15);
}

static double slot_top(size_t slot)
{
    if (slot < 16)
        return (double)slot;
    return (double)((16 + (uint64_t)slot % 16 + 1) << (slot / 16 - 1));
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->slot[slot_of(value)]++;
    h->n++;
    if (value > h->max)
        h->max = value;
}

double histogram_us(const struct histogram *h, double quantile)
{
    uint64_t want = (uint64_t)(quantile * (double)h->n), seen = 0;
    for (size_t i = 0; i < HIST_SLOTS; i++) {
        seen += h->slot[i];
        if (seen > want)
            return (slot_top(i) < (double)h->max ? slot_top(i) : (double)h->max) / 1e3;
    }
    return (double)h->max / 1e3;
}

/* smaps_rollup is exact where statm lags behind by a batch of pages per thread. */
static long read_rss_kb(uint32_t pid)
{
    char path[64], line[256];
    long kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%u/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Rss: %ld", &kb) == 1)
            break;
    (void)fclose(f);
    return kb;
}

/* Nanoseconds on a CPU of every thread; 0 where the kernel does not tell.  utime + stime is
 * the same, rounded to ticks of 10 ms, which is too coarse for a few thousand connects. */
static double read_sched_s(uint32_t pid)
{
    char path[300];
    double total = 0;
    (void)snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));) {
        unsigned long long ns = 0;
        (void)snprintf(path, sizeof path, "/proc/%u/task/%.20s/schedstat", pid, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f && fscanf(f, "%llu", &ns) == 1)
            total += (double)ns / 1e9;
        if (f)
            (void)fclose(f);
    }
    (void)closedir(dir);
    return total;
}

struct usage usage_read(uint32_t pid)
{
    struct usage u = {0};
    char path[64], line[1024];
    unsigned long user = 0, sys = 0;
    if (!pid)
        return u;
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(line, sizeof line, f))
        die("process %u cannot be read", pid);
    (void)fclose(f);
    /* The name may hold anything; the numbers start behind its last parenthesis. */
    const char *rest = strrchr(line, ')');
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
        die("/proc/%u/stat is not understood", pid);
    u.user_s = (double)user / (double)sysconf(_SC_CLK_TCK);
    u.sys_s = (double)sys / (double)sysconf(_SC_CLK_TCK);
    u.cpu_s = read_sched_s(pid);
    if (!(u.cpu_s > 0))
        u.cpu_s = u.user_s + u.sys_s;
    u.rss_kb = read_rss_kb(pid);
    return u;
}
