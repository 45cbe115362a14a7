/*
 * A disk that fails on command and remembers what was asked of it. Loaded into the real binary with LD_PRELOAD.
 *
 * It stands between the process and the calls that change files below one directory ($DISK_UNDER). It does two things:
 *
 * Faults. A control file ($DISK_CONTROL), mapped by this process and by the test, holds rules: the n-th call of some kind
 * on some class of files fails with an error, once, some times or until it is told otherwise. The test may set them while
 * the process is under load.
 *
 * Trace. If $DISK_TRACE is set, each call that changed something is appended to that file in the order in which it was
 * done: writes with their bytes, truncations, new names, and for a sync its beginning and its end. Whatever was written
 * before a sync began is on the disk when it has ended with success; all else may be there or not. `power.py` makes of
 * this what the disk could hold after a power cut.
 *
 * Not seen: writes through mappings (SQLite maps its -shm file only, which is made anew after a cut) and duplicated
 * descriptors (the service duplicates none of its files').
 */
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
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kinds of calls and the classes of files; faults.py has the same order. */
enum kind { OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, KINDS };
enum class { OTHER, JOURNAL, DATABASE, LOG, INDEX, DIRECTORY, STRANGERS, CLASSES };

/* What becomes of a call that a rule meets. */
enum manner {
    REFUSED,      /* nothing is done */
    HALF,         /* a write writes its first half, and then fails; others as REFUSED */
    DONE_ANYWAY,  /* it is done, and an error is told */
    LIED,         /* a sync: it is not done, and success is told */
};

#define RULES 8
#define MAGIC 0x6469736b66617531ULL

struct rule {
    uint64_t armed, kinds, classes, skip, times, error, manner, hits;
};

struct control {
    /* `halted`: no further call is begun. `inside`: one is being done and told to the trace. */
    uint64_t magic, position, halted, inside, reserved[4];
    struct rule rules[RULES];
    uint64_t calls[KINDS][CLASSES];
};

struct entry {
    char mark;
    uint8_t flag;
    uint16_t name_bytes;
    uint32_t data_bytes;
    uint64_t inode, offset, length;
};

#define FILES_MAX 65536
struct open_file {
    int is_ours;
    enum class class;
    uint64_t inode;
    char *name;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct open_file files[FILES_MAX];
static struct control *control;
static struct control private_control;
static char under[PATH_MAX];
static size_t under_bytes;
static int trace = -1;
static uint64_t tokens;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);

static void give_up(const char *why) {
    dprintf(2, "disk.c: %s\n", why);
    abort();
}

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) give_up(name);
    return found;
}

/*
 * What is done and what the trace tells of it are one: a process that were killed in between would leave a trace that is
 * not of its files. So whoever kills it halts it first, and waits until nobody is inside.
 */
static void enter(void) {
    pthread_mutex_lock(&lock);
    __atomic_store_n(&control->inside, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&control->halted, __ATOMIC_SEQ_CST)) return;
    __atomic_store_n(&control->inside, 0, __ATOMIC_SEQ_CST);
    for (;;) pause();
}

static void leave(void) {
    __atomic_store_n(&control->inside, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
}

/* A process that ends by itself must not end threads in between either: from here on none enters. */
__attribute__((destructor)) static void end(void) {
    pthread_mutex_lock(&lock);
}

static void append(char mark, uint8_t flag, const char *name, uint64_t inode, uint64_t offset, uint64_t length,
                   const void *data, size_t data_bytes) {
    if (trace < 0) return;
    struct entry entry = {mark, flag, (uint16_t)(name ? strlen(name) : 0), (uint32_t)data_bytes, inode, offset, length};
    struct iovec parts[3] = {{&entry, sizeof entry}, {(void *)name, entry.name_bytes}, {(void *)data, data_bytes}};
    ssize_t whole = (ssize_t)(sizeof entry + entry.name_bytes + data_bytes);
    if (syscall(SYS_writev, trace, parts, 3) != whole) give_up("the trace cannot be written");
    control->position += (uint64_t)whole;
}

__attribute__((constructor)) static void begin(void) {
    real_open = next("open64");
    real_close = next("close");
    real_read = next("read");
    real_pread = next("pread64");
    real_write = next("write");
    real_pwrite = next("pwrite64");
    real_writev = next("writev");
    real_fsync = next("fsync");
    real_fdatasync = next("fdatasync");
    real_ftruncate = next("ftruncate64");
    real_rename = next("rename");
    real_unlink = next("unlink");
    real_mkdir = next("mkdir");
    const char *directory = getenv("DISK_UNDER"), *shared = getenv("DISK_CONTROL"), *path = getenv("DISK_TRACE");
    control = &private_control;
    if (!directory || !shared || !realpath(directory, under)) give_up("DISK_UNDER and DISK_CONTROL are needed");
    under_bytes = strlen(under);
    int file = real_open(shared, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || mapped == MAP_FAILED) give_up("the control file cannot be mapped");
    control = mapped;
    real_close(file);
    if (control->magic != MAGIC) give_up("the control file is not one");
    if (path) {
        trace = real_open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (trace < 0) give_up("the trace cannot be opened");
        append('P', 0, NULL, 0, 0, 0, NULL, 0);
    }
}

/* Paths as the process names them; both it and the tests use absolute ones without links. */
static int is_ours(const char *path) {
    return path && !strncmp(path, under, under_bytes) && (path[under_bytes] == '/' || !path[under_bytes]);
}

static enum class class_of(const char *path) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (!strncmp(name, "journal-", 8)) return JOURNAL;
    if (!strcmp(name, "spare.new")) return JOURNAL; /* the next segment, before it has its name */
    if (!strncmp(name, "strangers.", 10)) return STRANGERS;
    if (strstr(name, ".sqlite3-wal")) return LOG;
    if (strstr(name, ".sqlite3-shm")) return INDEX;
    if (strstr(name, ".sqlite3")) return DATABASE;
    return OTHER;
}

/* Counts the call and says which error it is to end with; none is 0. The lock is held. */
static int fault(enum kind kind, enum class class, enum manner *manner) {
    control->calls[kind][class]++;
    for (int at = 0; at < RULES; at++) {
        struct rule *rule = &control->rules[at];
        if (!rule->armed || !(rule->kinds >> kind & 1) || !(rule->classes >> class & 1)) continue;
        if (rule->skip) {
            rule->skip--;
            continue;
        }
        rule->hits++;
        if (rule->times && !--rule->times) rule->armed = 0;
        *manner = (enum manner)rule->manner;
        return (int)rule->error;
    }
    return 0;
}

static struct open_file *file_of(int fd) {
    return fd >= 0 && fd < FILES_MAX && files[fd].is_ours ? &files[fd] : NULL;
}

static int open_ours(const char *path, int flags, mode_t mode) {
    struct stat before, after;
    int existed = !stat(path, &before), failed = errno;
    enum class class = existed && S_ISDIR(before.st_mode) ? DIRECTORY : class_of(path);
    enum manner manner;
    enter();
    int error = fault(OPEN, class, &manner);
    int fd = error ? -1 : real_open(path, flags, mode);
    if (fd < 0) {
        failed = error ? error : errno;
    } else if (fstat(fd, &after) || fd >= FILES_MAX) {
        give_up("a file that was opened cannot be followed");
    } else {
        free(files[fd].name);
        files[fd] = (struct open_file){1, class, after.st_ino, strdup(path)};
        if (!existed)
            append('C', 0, path, after.st_ino, 0, 0, NULL, 0);
        else if (flags & O_TRUNC && before.st_size)
            append('T', 0, NULL, after.st_ino, 0, 0, NULL, 0);
    }
    leave();
    if (fd < 0) errno = failed;
    return fd;
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return is_ours(path) ? open_ours(path, flags, mode) : real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

int close(int fd) {
    struct open_file *file = file_of(fd);
    if (!file) return real_close(fd);
    enter();
    file->is_ours = 0;
    int result = real_close(fd);
    leave();
    return result;
}

static int fails_to_read(struct open_file *file) {
    enum manner manner;
    enter();
    int error = fault(READ, file->class, &manner);
    leave();
    errno = error;
    return error;
}

ssize_t read(int fd, void *buffer, size_t size) {
    struct open_file *file = file_of(fd);
    return file && fails_to_read(file) ? -1 : real_read(fd, buffer, size);
}

ssize_t pread64(int fd, void *buffer, size_t size, off_t offset) {
    struct open_file *file = file_of(fd);
    return file && fails_to_read(file) ? -1 : real_pread(fd, buffer, size, offset);
}

static int is_zero(const char *data, size_t size) {
    return size && !data[0] && !memcmp(data, data + 1, size - 1);
}

/* Writes at `offset`, or at the file's own place if that is negative. */
static ssize_t write_ours(struct open_file *file, int fd, const void *data, size_t size, off_t offset) {
    enum manner manner = REFUSED;
    enter();
    int error = fault(WRITE, file->class, &manner);
    size_t wanted = !error || manner == DONE_ANYWAY ? size : manner == HALF ? size / 2 : 0;
    ssize_t done = 0;
    int failed = 0;
    if (wanted || !size) {
        done = offset < 0 ? real_write(fd, data, wanted) : real_pwrite(fd, data, wanted, offset);
        failed = errno;
    }
    if (done > 0 && file->class != INDEX) {
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) - done : offset;
        int zero = is_zero(data, (size_t)done);
        append('W', (uint8_t)zero, NULL, file->inode, (uint64_t)at, (uint64_t)done, data, zero ? 0 : (size_t)done);
    }
    leave();
    /* A short write is no error; whoever goes on writing meets the next call's fate. */
    if (error && manner == HALF && done > 0) return done;
    errno = error ? error : failed;
    return error ? -1 : done;
}

ssize_t write(int fd, const void *data, size_t size) {
    struct open_file *file = file_of(fd);
    return file ? write_ours(file, fd, data, size, -1) : real_write(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    struct open_file *file = file_of(fd);
    return file ? write_ours(file, fd, data, size, offset) : real_pwrite(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct open_file *file = file_of(fd);
    if (!file) return real_writev(fd, parts, count);
    /* A vector may be written in part: its first piece. */
    return count ? write_ours(file, fd, parts[0].iov_base, parts[0].iov_len, -1) : 0;
}

static int sync_ours(struct open_file *file) {
    enum manner manner = REFUSED;
    enter();
    int error = fault(SYNC, file->class, &manner);
    uint64_t token = ++tokens, inode = file->inode;
    uint8_t is_directory = file->class == DIRECTORY;
    append('B', is_directory, is_directory ? file->name : NULL, inode, token, 0, NULL, 0);
    leave();
    /*
     * What a cut undoes is undone in the trace, so the disk under this one is not troubled. It would not be the same
     * from machine to machine either: a sync takes a millisecond here, in which other calls go on as they would.
     */
    usleep(1000);
    int is_done = !error || manner == DONE_ANYWAY;
    enter();
    append('E', (uint8_t)is_done, NULL, inode, token, 0, NULL, 0);
    leave();
    errno = error;
    return error && manner != LIED ? -1 : 0;
}

int fsync(int fd) {
    struct open_file *file = file_of(fd);
    return file ? sync_ours(file) : real_fsync(fd);
}

int fdatasync(int fd) {
    struct open_file *file = file_of(fd);
    return file ? sync_ours(file) : real_fdatasync(fd);
}

int ftruncate64(int fd, off_t size) {
    struct open_file *file = file_of(fd);
    if (!file) return real_ftruncate(fd, size);
    enum manner manner = REFUSED;
    enter();
    int error = fault(TRUNCATE, file->class, &manner), result = -1;
    if (!error) {
        result = real_ftruncate(fd, size);
        error = result ? errno : 0;
        if (!result && file->class != INDEX) append('T', 0, NULL, file->inode, (uint64_t)size, 0, NULL, 0);
    }
    leave();
    errno = error;
    return result;
}

/* The calls on names have this in common: they may be refused, and are told to the trace when they are done. */
static int on_name(enum kind kind, const char *path, const char *to, mode_t mode) {
    enum manner manner = REFUSED;
    struct stat status;
    enter();
    int error = fault(kind, class_of(to ? to : path), &manner), result = -1;
    if (!error) {
        result = kind == RENAME ? real_rename(path, to) : kind == UNLINK ? real_unlink(path) : real_mkdir(path, mode);
        error = result ? errno : 0;
    }
    if (!result && kind == RENAME) {
        char names[2 * PATH_MAX];
        snprintf(names, sizeof names, "%s\n%s", path, to);
        append('R', 0, names, stat(to, &status) ? 0 : status.st_ino, 0, 0, NULL, 0);
    } else if (!result) {
        append(kind == UNLINK ? 'U' : 'M', 0, path, 0, 0, 0, NULL, 0);
    }
    leave();
    errno = error;
    return result;
}

int rename(const char *from, const char *to) {
    return is_ours(from) ? on_name(RENAME, from, to, 0) : real_rename(from, to);
}

int unlink(const char *path) {
    return is_ours(path) ? on_name(UNLINK, path, NULL, 0) : real_unlink(path);
}

int mkdir(const char *path, mode_t mode) {
    return is_ours(path) ? on_name(MKDIR, path, NULL, mode) : real_mkdir(path, mode);
}
