/* Preloaded into the box of tests/chaos.rs: its disk is full and its clock is wrong whenever the test says so, in the file
   that GTV_CHAOS_CONTROL names: two 64-bit integers, 1 for a full disk and the error of the clock in nanoseconds. Only
   files below GTV_CHAOS_DIR are on that disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t nothing[2];
static volatile int64_t *control = nothing;
static const char *dir;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("GTV_CHAOS_CONTROL");
    dir = getenv("GTV_CHAOS_DIR");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) control = page;
    close(fd);
}

static int full(int fd) {
    char name[64], path[4096];
    if (!control[0] || !dir) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, dir, strlen(dir)) == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF_FULL(fd) do { if (full(fd)) { errno = ENOSPC; return -1; } } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    FAIL_IF_FULL(fd);
    return REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    FAIL_IF_FULL(fd);
    return REAL(writev)(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    FAIL_IF_FULL(fd);
    return REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    FAIL_IF_FULL(fd);
    return REAL(pwrite)(fd, data, size, at);
}

int ftruncate64(int fd, off64_t length) {
    FAIL_IF_FULL(fd);
    return REAL(ftruncate64)(fd, length);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = REAL(clock_gettime);
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int64_t nanos = time->tv_nsec + control[1];
        int64_t seconds = nanos / 1000000000, rest = nanos % 1000000000;
        if (rest < 0) { rest += 1000000000; seconds -= 1; }
        time->tv_sec += seconds;
        time->tv_nsec = rest;
    }
    return result;
}
