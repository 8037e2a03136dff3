/* Preloaded by tests/disk_faults.rs: makes the files below GTV_SHIM_DIR fail as a broken disk does. What happens is
   read from the file GTV_SHIM_MODE names, at every call: "ok", an errno as a number, or "slow MILLISECONDS". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static __thread int inside;

/* 0, or the errno to fail with. Sleeps where the disk is slow. */
static int fault(const char *path) {
    const char *dir = getenv("GTV_SHIM_DIR"), *mode = getenv("GTV_SHIM_MODE");
    if (inside || !dir || !mode || strncmp(path, dir, strlen(dir)) != 0) return 0;
    inside = 1;
    char text[32] = "ok";
    int fd = open(mode, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, text, sizeof text - 1);
        text[got > 0 ? got : 0] = 0;
        close(fd);
    }
    int slow_ms = 0, error = 0;
    if (sscanf(text, "slow %d", &slow_ms) == 1) usleep(slow_ms * 1000);
    else error = atoi(text);
    inside = 0;
    return error;
}

static int fault_fd(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = inside ? -1 : readlink(name, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fault(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(check) do { int error = (check); if (error) { errno = error; return -1; } } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    FAIL_IF(fault_fd(fd));
    return REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    FAIL_IF(fault_fd(fd));
    return REAL(writev)(fd, parts, count);
}

int fdatasync(int fd) {
    FAIL_IF(fault_fd(fd));
    return REAL(fdatasync)(fd);
}

int fsync(int fd) {
    FAIL_IF(fault_fd(fd));
    return REAL(fsync)(fd);
}

int ftruncate64(int fd, off64_t length) {
    FAIL_IF(fault_fd(fd));
    return REAL(ftruncate64)(fd, length);
}

int unlink(const char *path) {
    FAIL_IF(fault(path));
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    FAIL_IF(fault(path));
    return REAL(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (flags & (O_WRONLY | O_RDWR)) FAIL_IF(fault(path));
    return REAL(open64)(path, flags, mode);
}
