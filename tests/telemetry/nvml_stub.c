/* A driver library with two GPUs, for tests on machines without one. GPU i holds (i + 1) * 10 GiB of 80 and is (i + 1) * 25 % busy.
 *
 * STUB_NO_UTILIZATION=1  no utilization, as on a slice of a divided GPU
 * STUB_LOST_AFTER=n      after n looks at the memory the GPU has fallen off the bus
 * STUB_NO_DRIVER=1       initialisation fails
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
#define GPUS 2
#define GIB (1ull << 30)

typedef struct { int number; } gpu;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;

static gpu gpus[GPUS] = {{0}, {1}};
static int looks = 0;

static void name_of(int number, char *out, unsigned size) { snprintf(out, size, "GPU-0000000%d-aaaa-bbbb-cccc-0123456789ab", number); }

int nvmlInitWithFlags(unsigned flags) { return getenv("STUB_NO_DRIVER") ? DRIVER_NOT_LOADED : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == GPU_IS_LOST ? "GPU is lost" : "stub error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = GPUS; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu **out) {
    if (index >= GPUS) return INVALID_ARGUMENT;
    *out = &gpus[index];
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *name, gpu **out) {
    char own[96];
    for (int i = 0; i < GPUS; i++) {
        name_of(i, own, sizeof own);
        if (!strcmp(own, name)) { *out = &gpus[i]; return OK; }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(gpu *device, char *out, unsigned size) { name_of(device->number, out, size); return OK; }

int nvmlDeviceGetUtilizationRates(gpu *device, utilization *out) {
    if (getenv("STUB_NO_UTILIZATION")) return NOT_SUPPORTED;
    out->gpu = 25 * (device->number + 1);
    out->memory = 1;
    return OK;
}

int nvmlDeviceGetMemoryInfo(gpu *device, memory *out) {
    const char *limit = getenv("STUB_LOST_AFTER");
    if (limit && looks++ >= atoi(limit)) return GPU_IS_LOST;
    out->total = 80 * GIB;
    out->used = 10 * GIB * (device->number + 1);
    out->free = out->total - out->used;
    return OK;
}
