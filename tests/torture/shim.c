/* Faults of the disk, the clock and the process, between a program and the C library.

   Preloaded into the service. What goes wrong is said in a file that both sides map, whose
   path is in TORTURE_SHIM, so that faults begin and end while the service runs; shim.py has
   the same struct. Without the variable nothing is changed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { READ, WRITE, SYNC, TRUNCATE, OPEN, RENAME, SEND, OPS };
enum { REAL, OFFSET, FIXED };
enum { BEFORE, AFTER, HALFWAY };

struct control {
    int32_t clock_mode;
    int32_t error;      /* an errno, 0: none */
    int32_t error_ops;  /* bits: which calls fail */
    int32_t error_skip; /* so many calls go through before */
    int32_t error_left; /* so many fail, -1: all */
    int32_t kill_ops;   /* bits: which calls count */
    int32_t kill_left;  /* the call of this number is the last one, 0: none */
    int32_t kill_how;
    int64_t clock_ns; /* to add, or the time that it is */
    int64_t sync_delay_us;
    int64_t room; /* bytes that may be written yet, -1: no end */
    int64_t slow_on_main; /* so many delayed syncs were the main thread's */
    int32_t holding;      /* whether syncs beside the main thread take until it is 0 */
    int32_t held;         /* so many do */
    uint64_t calls[OPS];
    uint64_t failed[OPS];
    char match[64]; /* part of the paths that errors are for */
    char undo[256]; /* where what was overwritten is kept until it is synced, "": nowhere */
};

static struct control *control;
static pthread_mutex_t undoing = PTHREAD_MUTEX_INITIALIZER;
static int undo_file = -1;

static void find_all(void);
/* Others' constructors may run before ours. */
#define REAL_OF(name) \
    ((__typeof__(&name))(real_##name ? real_##name : (find_all(), real_##name)))
static void *real_read, *real_pread64, *real_write, *real_pwrite64, *real_writev, *real_sendmsg,
    *real_send, *real_fsync, *real_fdatasync, *real_ftruncate64, *real_open64, *real_rename,
    *real_clock_gettime;

static void find_all(void) {
    real_read = dlsym(RTLD_NEXT, "read");
    real_pread64 = dlsym(RTLD_NEXT, "pread64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    real_send = dlsym(RTLD_NEXT, "send");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate64 = dlsym(RTLD_NEXT, "ftruncate64");
    real_open64 = dlsym(RTLD_NEXT, "open64");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TORTURE_SHIM");
    find_all();
    if (path == NULL) return;
    int fd = REAL_OF(open64)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (found == MAP_FAILED) abort();
    control = found;
    if (control->undo[0])
        undo_file = REAL_OF(open64)(control->undo, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
}

static int is_ours(const char *path) {
    return control->match[0] && strstr(path, control->match) != NULL;
}

/* Whether this call fails: the errno, or 0. */
static int fails(int op, const char *path, int fd) {
    if (control == NULL) return 0;
    __atomic_add_fetch(&control->calls[op], 1, __ATOMIC_SEQ_CST);
    if (!control->error || !(control->error_ops & (1 << op))) return 0;
    char found[4096];
    if (path == NULL) {
        path_of(fd, found, sizeof found);
        path = found;
    }
    if (!is_ours(path)) return 0;
    if (__atomic_fetch_sub(&control->error_skip, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    __atomic_store_n(&control->error_skip, 0, __ATOMIC_SEQ_CST);
    if (control->error_left == 0) return 0;
    if (control->error_left > 0) __atomic_sub_fetch(&control->error_left, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&control->failed[op], 1, __ATOMIC_SEQ_CST);
    return control->error;
}

/* Whether the process dies at this call. */
static int dies(int op) {
    if (control == NULL || !(control->kill_ops & (1 << op))) return 0;
    if (__atomic_load_n(&control->kill_left, __ATOMIC_SEQ_CST) <= 0) return 0;
    return __atomic_sub_fetch(&control->kill_left, 1, __ATOMIC_SEQ_CST) == 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void die_before(int dying) {
    if (dying && control->kill_how == BEFORE) die();
}

/* -- what is not synced yet, for a power cut: record, then the bytes that were there */

struct record {
    int32_t kind; /* WRITE, TRUNCATE or SYNC */
    int32_t length;
    int64_t offset, size_before, kept;
    char path[256];
};

static int is_kept(int fd, struct record *record) {
    if (undo_file < 0) return 0;
    struct stat about;
    if (fstat(fd, &about) || !S_ISREG(about.st_mode)) return 0;
    memset(record, 0, sizeof *record);
    path_of(fd, record->path, sizeof record->path);
    if (!is_ours(record->path)) return 0;
    record->size_before = about.st_size;
    return 1;
}

/* Keep what lies in a file from an offset on, before that is overwritten or cut off. */
static void keep(int fd, int kind, int64_t offset, int64_t length) {
    struct record record;
    if (!is_kept(fd, &record)) return;
    record.kind = kind;
    record.offset = offset;
    record.length = (int32_t)length;
    int64_t end = kind == TRUNCATE ? record.size_before : offset + length;
    if (end > record.size_before) end = record.size_before;
    record.kept = end > offset ? end - offset : 0;
    size_t whole = sizeof record + (size_t)record.kept;
    char *bytes = malloc(whole);
    memcpy(bytes, &record, sizeof record);
    if (record.kept && REAL_OF(pread64)(fd, bytes + sizeof record, (size_t)record.kept, offset) < 0)
        abort();
    if (REAL_OF(write)(undo_file, bytes, whole) != (ssize_t)whole) abort();
    free(bytes);
}

static int is_undone(void) {
    return control != NULL && undo_file >= 0;
}

/* -- files */

static ssize_t give(int fd, const void *bytes, size_t size, off64_t offset, int op) {
    int dying = dies(op);
    die_before(dying);
    int error = fails(op, NULL, fd);
    if (error) {
        errno = error;
        return -1;
    }
    if (dying && control->kill_how == HALFWAY) size = (size + 1) / 2;
    if (control != NULL && op == WRITE && control->room >= 0) {
        char path[4096];
        path_of(fd, path, sizeof path);
        if (is_ours(path)) {
            int64_t room = __atomic_load_n(&control->room, __ATOMIC_SEQ_CST);
            if (room <= 0) {
                __atomic_add_fetch(&control->failed[op], 1, __ATOMIC_SEQ_CST);
                errno = ENOSPC;
                return -1;
            }
            if ((int64_t)size > room) size = (size_t)room;
            __atomic_sub_fetch(&control->room, (int64_t)size, __ATOMIC_SEQ_CST);
        }
    }
    int undone = is_undone() && offset >= 0;
    if (undone) {
        pthread_mutex_lock(&undoing);
        keep(fd, WRITE, offset, (int64_t)size);
    }
    ssize_t given = offset < 0 ? REAL_OF(write)(fd, bytes, size)
                               : REAL_OF(pwrite64)(fd, bytes, size, offset);
    if (undone) pthread_mutex_unlock(&undoing);
    if (dying) die();
    return given;
}

static int is_socket(int fd) {
    struct stat about;
    return control != NULL && fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    return give(fd, bytes, size, -1, is_socket(fd) ? SEND : WRITE);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
    return give(fd, bytes, size, offset, WRITE);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    return give(fd, bytes, size, offset, WRITE);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int dying = dies(SEND);
    die_before(dying);
    ssize_t given = REAL_OF(writev)(fd, parts, count);
    if (dying) die();
    return given;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    int dying = dies(SEND);
    die_before(dying);
    ssize_t given = REAL_OF(sendmsg)(fd, message, flags);
    if (dying) die();
    return given;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    int dying = dies(SEND);
    die_before(dying);
    if (dying && control->kill_how == HALFWAY) size = (size + 1) / 2;
    ssize_t given = REAL_OF(send)(fd, bytes, size, flags);
    if (dying) die();
    return given;
}

ssize_t read(int fd, void *bytes, size_t size) {
    int error = fails(READ, NULL, fd);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL_OF(read)(fd, bytes, size);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset) {
    int error = fails(READ, NULL, fd);
    if (error) {
        errno = error;
        return -1;
    }
    return REAL_OF(pread64)(fd, bytes, size, offset);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset) {
    return pread64(fd, bytes, size, offset);
}

static void take_time(int fd) {
    if (control == NULL) return;
    int is_main = syscall(SYS_gettid) == getpid();
    if (control->sync_delay_us > 0) {
        if (is_main) __atomic_add_fetch(&control->slow_on_main, 1, __ATOMIC_SEQ_CST);
        usleep((useconds_t)control->sync_delay_us);
    }
    if (is_main || !control->holding) return;
    char path[4096];
    path_of(fd, path, sizeof path);
    if (!is_ours(path)) return;
    __atomic_add_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&control->holding, __ATOMIC_SEQ_CST)) usleep(1000);
    __atomic_sub_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
}

static int sync_with(int (*real)(int), int fd) {
    int dying = dies(SYNC);
    die_before(dying);
    int error = fails(SYNC, NULL, fd);
    if (error) {
        errno = error;
        return -1;
    }
    take_time(fd);
    int undone = is_undone();
    if (undone) pthread_mutex_lock(&undoing);
    int failed = real(fd);
    if (undone) {
        struct record record;
        if (!failed && is_kept(fd, &record)) {
            record.kind = SYNC;
            if (REAL_OF(write)(undo_file, &record, sizeof record) != sizeof record) abort();
        }
        pthread_mutex_unlock(&undoing);
    }
    if (dying) die();
    return failed;
}

int fsync(int fd) { return sync_with(REAL_OF(fsync), fd); }

int fdatasync(int fd) { return sync_with(REAL_OF(fdatasync), fd); }

int ftruncate64(int fd, off64_t size) {
    int dying = dies(TRUNCATE);
    die_before(dying);
    int error = fails(TRUNCATE, NULL, fd);
    if (error) {
        errno = error;
        return -1;
    }
    int undone = is_undone();
    if (undone) {
        pthread_mutex_lock(&undoing);
        keep(fd, TRUNCATE, size, 0);
    }
    int failed = REAL_OF(ftruncate64)(fd, size);
    if (undone) pthread_mutex_unlock(&undoing);
    if (dying) die();
    return failed;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int open_with(const char *path, int flags, mode_t mode) {
    if (flags & (O_CREAT | O_WRONLY | O_RDWR)) {
        int error = fails(OPEN, path, -1);
        if (error) {
            errno = error;
            return -1;
        }
    }
    return REAL_OF(open64)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags, mode);
}

int rename(const char *from, const char *to) {
    int dying = dies(RENAME);
    die_before(dying);
    int error = fails(RENAME, to, -1);
    if (error) {
        errno = error;
        return -1;
    }
    int failed = REAL_OF(rename)(from, to);
    if (dying) die();
    return failed;
}

/* -- time: that of the wall; where it stands, that which nobody can set stands too */

int clock_gettime(clockid_t which, struct timespec *time) {
    int failed = REAL_OF(clock_gettime)(which, time);
    if (failed || control == NULL || control->clock_mode == REAL) return failed;
    if (which == CLOCK_BOOTTIME && control->clock_mode == FIXED) {
        time->tv_sec = 1;
        time->tv_nsec = 0;
        return 0;
    }
    if (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE) return failed;
    int64_t now = control->clock_ns;
    if (control->clock_mode == OFFSET) now += time->tv_sec * 1000000000LL + time->tv_nsec;
    time->tv_sec = now / 1000000000LL;
    time->tv_nsec = now % 1000000000LL;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found != NULL) *found = now.tv_sec;
    return now.tv_sec;
}
