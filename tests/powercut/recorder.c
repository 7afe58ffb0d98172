/* What a program does to the files of one folder, seen from beneath it, and the faults of a disk: loaded by LD_PRELOAD.
 *
 * In: the program's calls of the C library; WHARF_RECORD_FOLDER names the folder. Out: one record for each call that changed
 * something, in the file that WHARF_RECORD_LOG names: a header of 32 bytes, then `length` bytes. A write to the file that
 * WHARF_RECORD_MARKS names is a mark: the program says there what it was promised. Faults are what the file that
 * WHARF_RECORD_FAULT names says: `full N` lets the files grow by N bytes more, `drop` loses what is written to the file `db`
 * and then fails one fdatasync of it, as the kernel does when a write-back failed; anything else, or no file, is a healthy disk.
 * One file, because it is built as one library, and long, because each of some thirty calls has its own wrapper.
 * Must not be blind: a call that changes a file in a way that the replayer does not know ends the program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    char op;
    char unused[7];
    uint64_t inode, offset, length;
};

static char folder[PATH_MAX], marks[PATH_MAX], fault[PATH_MAX];
static int record_file = -1;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
/* How many records this process has written. */
static uint64_t written;
/* Bytes by which files have grown since the disk became small. */
static uint64_t grown;
/* Writes that were lost and of which no sync has told yet. */
static uint64_t lost_writes;

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void fail(const char *why, const char *path)
{
    fprintf(stderr, "recorder: %s: %s\n", why, path);
    abort();
}

static void record(char op, uint64_t inode, uint64_t offset, const struct iovec *data, int count)
{
    static ssize_t (*real_writev)(int, const struct iovec *, int);
    struct header header = { .op = op, .inode = inode, .offset = offset };
    struct iovec all[1 + 16] = { { &header, sizeof header } };
    if (record_file < 0)
        return;
    if (!real_writev)
        real_writev = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    if (count > 16)
        fail("more parts than it has room for", "writev");
    for (int at = 0; at < count; at++) {
        all[at + 1] = data[at];
        header.length += data[at].iov_len;
    }
    if (real_writev(record_file, all, count + 1) != (ssize_t)(sizeof header + header.length))
        fail("cannot write its own file", strerror(errno));
    written++;
}

static void record_path(char op, uint64_t inode, const char *path)
{
    struct iovec data = { (void *)path, strlen(path) };
    record(op, inode, 0, &data, 1);
}

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("WHARF_RECORD_FOLDER");
    if (!name)
        return;
    snprintf(folder, sizeof folder, "%s/", name);
    if ((name = getenv("WHARF_RECORD_MARKS")))
        snprintf(marks, sizeof marks, "%s", name);
    if ((name = getenv("WHARF_RECORD_FAULT")))
        snprintf(fault, sizeof fault, "%s", name);
    if ((name = getenv("WHARF_RECORD_LOG"))) {
        int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
        record_file = real_open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (record_file < 0)
            fail("cannot open its own file", name);
        record('+', 0, 0, NULL, 0);
    }
}

static int is_inside(const char *path)
{
    return folder[0] && strncmp(path, folder, strlen(folder)) == 0;
}

/* The path of an open file if it is one of the folder, and its number. */
static int is_ours(int fd, char *path, uint64_t *inode)
{
    char link[64];
    struct stat stat;
    int before = errno, ours = 0;
    ssize_t length;
    if (folder[0]) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, path, PATH_MAX - 1);
        path[length > 0 ? length : 0] = 0;
        if (is_inside(path) && fstat(fd, &stat) == 0) {
            *inode = stat.st_ino;
            ours = S_ISREG(stat.st_mode) ? 1 : 0;
        } else if (marks[0] && strcmp(path, marks) == 0) {
            ours = 2;
        }
    }
    errno = before;
    return ours;
}

static int is_log(const char *path)
{
    size_t length = strlen(path);
    return length > 3 && strcmp(path + length - 3, "/db") == 0;
}

/* What the disk's fault is just now, and its number. */
static char fault_now(uint64_t *number)
{
    static int (*real_open)(const char *, int, ...);
    char text[64] = "";
    int file, before = errno;
    if (!fault[0])
        return 0;
    if (!real_open)
        real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if ((file = real_open(fault, O_RDONLY | O_CLOEXEC)) >= 0) {
        if (read(file, text, sizeof text - 1) < 0)
            text[0] = 0;
        close(file);
    }
    errno = before;
    if (strncmp(text, "full ", 5) == 0) {
        *number = strtoull(text + 5, NULL, 10);
        return 'f';
    }
    grown = 0;
    return strncmp(text, "drop", 4) == 0 ? 'd' : 0;
}

/* How many of these bytes the disk takes; all of them if it is healthy, 0 if it is full. */
static size_t room(int fd, const char *path, uint64_t offset, size_t length, char *state)
{
    uint64_t most = 0;
    struct stat stat;
    *state = fault_now(&most);
    if (*state == 'd' && !is_log(path))
        *state = 0;
    if (*state != 'f' || fstat(fd, &stat) != 0 || offset + length <= (uint64_t)stat.st_size)
        return length;
    uint64_t growth = offset + length - stat.st_size, left = most > grown ? most - grown : 0;
    if (growth > left) {
        size_t less = growth - left;
        length = less < length ? length - less : 0;
        growth = left;
    }
    grown += growth;
    return length;
}

/* A write of one part, at its place, or where the file stands with offset -1. */
static ssize_t put(int fd, const void *data, size_t length, off64_t offset)
{
    static ssize_t (*real_write)(int, const void *, size_t);
    static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
    char path[PATH_MAX], state = 0;
    uint64_t inode = 0;
    if (!real_write) {
        real_pwrite = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
        real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    }
    int ours = is_ours(fd, path, &inode);
    if (!ours)
        return offset < 0 ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    pthread_mutex_lock(&one);
    ssize_t done;
    uint64_t at = 0;
    if (ours == 2) {
        done = offset < 0 ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    } else {
        struct stat stat;
        if (offset >= 0)
            at = offset;
        else if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &stat) == 0)
            at = stat.st_size;
        else
            at = lseek(fd, 0, SEEK_CUR);
        size_t most = room(fd, path, at, length, &state);
        if (length && !most) {
            errno = ENOSPC;
            done = -1;
        } else if (state == 'd') {
            done = length;
            lost_writes++;
        } else {
            done = offset < 0 ? real_write(fd, data, most) : real_pwrite(fd, data, most, offset);
        }
    }
    if (done > 0 && state != 'd') {
        struct iovec part = { (void *)data, done };
        record(ours == 2 ? 'M' : 'w', inode, at, &part, 1);
    }
    int after = errno;
    pthread_mutex_unlock(&one);
    errno = after;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return put(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return put(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return put(fd, data, length, offset); }

/* The parts one after another; a short write ends it, which every caller has to expect. */
static ssize_t put_parts(int fd, const struct iovec *parts, int count, off64_t offset)
{
    ssize_t all = 0;
    for (int at = 0; at < count; at++) {
        ssize_t done = put(fd, parts[at].iov_base, parts[at].iov_len, offset < 0 ? -1 : offset + all);
        if (done < 0)
            return all ? all : -1;
        all += done;
        if ((size_t)done < parts[at].iov_len)
            break;
    }
    return all;
}

static int is_known(int fd)
{
    char path[PATH_MAX];
    uint64_t inode;
    return is_ours(fd, path, &inode);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    return is_known(fd) ? put_parts(fd, parts, count, -1) : real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    REAL(pwritev);
    return is_known(fd) ? put_parts(fd, parts, count, offset) : real(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    REAL(pwritev64);
    return is_known(fd) ? put_parts(fd, parts, count, offset) : real(fd, parts, count, offset);
}

static int opened(int fd, int existed, int flags)
{
    char path[PATH_MAX];
    uint64_t inode = 0;
    int before = errno;
    if (fd >= 0 && is_ours(fd, path, &inode) == 1) {
        if (!existed)
            record_path('c', inode, path);
        else if (flags & O_TRUNC)
            record('t', inode, 0, NULL, 0);
    }
    errno = before;
    return fd;
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    static int (*real)(int, const char *, int, ...);
    struct stat stat;
    if (!real)
        real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64");
    if (!folder[0] || !(flags & (O_CREAT | O_TRUNC)))
        return real(at, path, flags, mode);
    pthread_mutex_lock(&one);
    int existed = fstatat(at, path, &stat, 0) == 0;
    int fd = opened(real(at, path, flags, mode), existed, flags);
    int after = errno;
    pthread_mutex_unlock(&one);
    errno = after;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags | O_LARGEFILE, mode); }

/* A call on an open file that sets its length or allocates. */
#define RESIZE(call, op, at) \
    char path[PATH_MAX]; \
    uint64_t inode = 0; \
    if (is_ours(fd, path, &inode) != 1) \
        return call; \
    pthread_mutex_lock(&one); \
    int done = call; \
    int after = errno; \
    if (done == 0) \
        record(op, inode, at, NULL, 0); \
    pthread_mutex_unlock(&one); \
    errno = after; \
    return done;

int ftruncate(int fd, off_t length) { REAL(ftruncate); RESIZE(real(fd, length), 't', length) }
int ftruncate64(int fd, off64_t length) { REAL(ftruncate64); RESIZE(real(fd, length), 't', length) }
int fallocate(int fd, int mode, off_t offset, off_t length)
{
    REAL(fallocate);
    if (mode && is_known(fd))
        fail("is not modelled", "fallocate with a mode");
    RESIZE(real(fd, mode, offset, length), 'a', offset + length)
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    REAL(fallocate64);
    if (mode && is_known(fd))
        fail("is not modelled", "fallocate with a mode");
    RESIZE(real(fd, mode, offset, length), 'a', offset + length)
}
int posix_fallocate(int fd, off_t offset, off_t length) { REAL(posix_fallocate); RESIZE(real(fd, offset, length), 'a', offset + length) }

/* What is written while a sync runs need not be in it: its record says how much was there when it began. */
#define SYNC(name, op) \
    REAL(name); \
    char path[PATH_MAX]; \
    uint64_t inode = 0, number; \
    if (is_ours(fd, path, &inode) != 1) \
        return real(fd); \
    pthread_mutex_lock(&one); \
    uint64_t begun = written; \
    int lost = is_log(path) && lost_writes && fault_now(&number) == 'd'; \
    if (lost && op == 'd') { \
        unlink(fault); \
        lost_writes = 0; \
    } \
    pthread_mutex_unlock(&one); \
    if (lost) { \
        errno = EIO; \
        return -1; \
    } \
    int done = real(fd); \
    int after = errno; \
    if (done == 0) { \
        pthread_mutex_lock(&one); \
        record(op, inode, begun, NULL, 0); \
        pthread_mutex_unlock(&one); \
    } \
    errno = after; \
    return done;

int fsync(int fd) { SYNC(fsync, 's') }
int fdatasync(int fd) { SYNC(fdatasync, 'd') }

/* No barrier: noted so that it can be seen, and passed over by the replayer. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags)
{
    REAL(sync_file_range);
    RESIZE(real(fd, offset, length, flags), 'r', offset)
}

/* A call on paths; `both` are the paths that the record holds. */
#define NAMED(call, op, inside, both) \
    if (!(inside)) \
        return call; \
    pthread_mutex_lock(&one); \
    int done = call; \
    int after = errno; \
    if (done == 0) \
        record_path(op, 0, both); \
    pthread_mutex_unlock(&one); \
    errno = after; \
    return done;

static const char *pair(char *into, const char *from, const char *to)
{
    snprintf(into, 2 * PATH_MAX, "%s\n%s", from, to);
    return into;
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    char both[2 * PATH_MAX];
    NAMED(real(from, to), 'n', is_inside(from) || is_inside(to), pair(both, from, to))
}

int renameat(int old, const char *from, int new, const char *to)
{
    REAL(renameat);
    char both[2 * PATH_MAX];
    NAMED(real(old, from, new, to), 'n', is_inside(from) || is_inside(to), pair(both, from, to))
}

int unlink(const char *path) { REAL(unlink); NAMED(real(path), 'u', is_inside(path), path) }
int rmdir(const char *path) { REAL(rmdir); NAMED(real(path), 'u', is_inside(path), path) }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); NAMED(real(path, mode), 'm', is_inside(path), path) }

/* Ways to change a file or the folder that the replayer does not know. */
#define UNKNOWN(condition, what) \
    if (condition) \
        fail("is not modelled", what);

int unlinkat(int at, const char *path, int flags)
{
    REAL(unlinkat);
    UNKNOWN(is_inside(path), "unlinkat")
    return real(at, path, flags);
}

int link(const char *from, const char *to)
{
    REAL(link);
    UNKNOWN(is_inside(from) || is_inside(to), "link")
    return real(from, to);
}

int truncate(const char *path, off_t length)
{
    REAL(truncate);
    UNKNOWN(is_inside(path), "truncate")
    return real(path, length);
}

int truncate64(const char *path, off64_t length)
{
    REAL(truncate64);
    UNKNOWN(is_inside(path), "truncate64")
    return real(path, length);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t length, unsigned int flags)
{
    REAL(copy_file_range);
    UNKNOWN(is_known(to), "copy_file_range")
    return real(from, at, to, into, length, flags);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    UNKNOWN(fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && is_known(fd), "mmap")
    return real(address, length, protection, flags, fd, offset);
}
