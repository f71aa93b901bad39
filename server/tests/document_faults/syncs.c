/* Preloaded by tests: what the program calls to have files on the disk, and to read the clock, does what files in the folder
 * SYNCS say. `hold`: a sync waits until the file is gone, and makes `held`. `fail`: it fails. `offset`: seconds that the clock of
 * the system is ahead. `delay`: microseconds that a sync takes longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int path_of(const char *name, char *path, size_t size) {
    const char *folder = getenv("SYNCS");
    return folder != NULL && snprintf(path, size, "%s/%s", folder, name) < (int)size;
}

static int exists(const char *name) {
    char path[4096];
    return path_of(name, path, sizeof path) && access(path, F_OK) == 0;
}

static long number_in(const char *name) {
    char path[4096], text[32] = {0};
    if (!path_of(name, path, sizeof path)) return 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

static void note(const char *name) {
    char path[4096];
    if (!path_of(name, path, sizeof path)) return;
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
}

static int controlled(int file, const char *name) {
    int (*sync_file)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    while (exists("hold")) {
        note("held");
        usleep(500);
    }
    if (exists("fail")) {
        note("failed");
        errno = EIO;
        return -1;
    }
    long delay = number_in("delay");
    if (delay > 0) usleep((useconds_t)delay);
    return sync_file(file);
}

int fdatasync(int file) { return controlled(file, "fdatasync"); }

int fsync(int file) { return controlled(file, "fsync"); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*read_clock)(clockid_t, struct timespec *);
    if (read_clock == NULL) read_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = read_clock(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += number_in("offset");
    return result;
}
