/* An intruder in the server's process: LD_PRELOAD puts it there, and it acts when the server first syncs a file, on whichever
 * thread that is. Each line that it leaves in PROBE_OUT is a call and its errno, 0 for one that was not refused. With
 * PROBE_DEADLY it makes one call more, which it should not survive. No product code knows of it; see test_hardening.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int out = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void say(const char *name, long result) {
    dprintf(out, "%s %d\n", name, result < 0 ? errno : 0);
}

static void try_open(const char *name, const char *path, int flags) {
    if (path) say(name, open(path, flags, 0600));
}

static void try_deadly(const char *name) {
    char *const nothing[] = {NULL};
    if (!name) return;
    if (!strcmp(name, "execve")) syscall(SYS_execve, "/bin/true", nothing, nothing);
    if (!strcmp(name, "ptrace")) syscall(SYS_ptrace, 0, 0, 0, 0);
    if (!strcmp(name, "process_vm_readv")) syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0);
    if (!strcmp(name, "unshare")) syscall(SYS_unshare, 0x10000000);
    if (!strcmp(name, "mount")) syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
    if (!strcmp(name, "setuid")) syscall(SYS_setuid, 0);
    if (!strcmp(name, "bpf")) syscall(SYS_bpf, 0, NULL, 0);
    if (!strcmp(name, "keyctl")) syscall(SYS_keyctl, 0, 0, 0, 0, 0);
    if (!strcmp(name, "init_module")) syscall(SYS_init_module, NULL, 0, "");
    dprintf(out, "survived 0\n");
}

static void act(void) {
    try_open("open-passwd", "/etc/passwd", O_RDONLY);
    try_open("open-root-key", getenv("PROBE_ROOT_KEY"), O_RDONLY);
    try_open("open-credentials", getenv("PROBE_CREDENTIALS"), O_RDONLY);
    try_open("create-elsewhere", getenv("PROBE_ELSEWHERE"), O_WRONLY | O_CREAT);
    say("socket-tcp", socket(AF_INET, SOCK_STREAM, 0));
    say("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
    long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) _exit(0);
    say("fork", child);
    say("clone3", syscall(SYS_clone3, NULL, 0));
    say("kill", kill(getppid(), 0));
    say("memory-execute", (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0);
    say("memfd", syscall(SYS_memfd_create, "probe", 0));
    say("io-uring", syscall(SYS_io_uring_setup, 1, NULL));
    struct rlimit none = {0, 0};
    say("setrlimit", setrlimit(RLIMIT_CORE, &none));
    say("prctl-dumpable", syscall(SYS_prctl, 4, 1, 0, 0, 0));
    try_open("open-data", getenv("PROBE_DATA"), O_RDONLY);
    try_deadly(getenv("PROBE_DEADLY"));
    dprintf(out, "end 0\n");
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("PROBE_OUT");
    if (path) out = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static int pass_on(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (out >= 0) pthread_once(&once, act);
    return real ? real(fd) : -1;
}

int fsync(int fd) { return pass_on("fsync", fd); }
int fdatasync(int fd) { return pass_on("fdatasync", fd); }
