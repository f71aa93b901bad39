/* Preloaded into the server: counts its syncs of files in the mapped file COUNT_SYNCS, and makes each take DELAY_SYNCS microseconds
 * longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long *count;
static useconds_t delay;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COUNT_SYNCS"), *micros = getenv("DELAY_SYNCS");
    if (micros != NULL) delay = (useconds_t)atol(micros);
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) count = mapped;
    close(file);
}

static int counted(int file, const char *name) {
    int (*sync_file)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (count != NULL) __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    if (delay > 0) usleep(delay);
    return sync_file(file);
}

int fdatasync(int file) { return counted(file, "fdatasync"); }

int fsync(int file) { return counted(file, "fsync"); }
