/* A false NVIDIA driver library: the functions that runner/gpus/nvml.py calls, for three GPUs. The environment says
   how it fails: FALSE_NVML=hang, segfault, or code:FUNCTION:GPU (a GPU of -1: every one). With FALSE_MIG the last GPU
   is divided into two instances, and has room for a third. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } process;
typedef struct { char s[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; } pci;

static int fails(const char *name, int gpu) {
    const char *how = getenv("FALSE_NVML");
    char wanted[64];
    int code, which;
    if (how == NULL) return 0;
    if (strcmp(how, "hang") == 0) sleep(100);
    if (strcmp(how, "segfault") == 0) *(volatile int *)0 = 0;
    if (sscanf(how, "%d:%63[^:]:%d", &code, wanted, &which) != 3) return 0;
    return strcmp(wanted, name) == 0 && (which == -1 || which == gpu) ? code : 0;
}

#define INSTANCES 100  /* handles from here on are those of instances */
#define GPU ((int)(long)handle - 1)
#define IS_DIVIDED (getenv("FALSE_MIG") != NULL && GPU == 2)
#define CHECK(name) do { int code = fails(name, GPU); if (code) return code; } while (0)

const char *nvmlErrorString(int code) {
    return code == 15 ? "GPU is lost" : code == 18 ? "Driver/library version mismatch" : code == 9 ? "Driver Not Loaded"
         : code == 3 ? "Not Supported" : "Unknown Error";
}
int nvmlInit_v2(void) { return fails("init", -1); }
int nvmlDeviceGetCount_v2(unsigned *number) { *number = 3; return fails("count", -1); }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "550.54"); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(long)(index + 1);
    return fails("handle", (int)index);
}
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    if (GPU >= INSTANCES) {
        snprintf(text, size, "MIG-%d0000000-0000-0000-0000-000000000000", GPU - INSTANCES);
        return 0;
    }
    snprintf(text, size, "GPU-%da2b3c4d-0000-0000-0000-00000000000%d", GPU, GPU);
    CHECK("uuid");
    return 0;
}
int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    (void)handle;
    snprintf(text, size, "False H100");
    return 0;
}
int nvmlDeviceGetPciInfo_v3(void *handle, pci *found) {
    memset(found, 0, sizeof *found);
    snprintf(found->bus_id, sizeof found->bus_id, "00000000:0%d:00.0", GPU);
    return 0;
}
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2 *found) {
    CHECK("memory");
    if (found->version != (sizeof *found | 2 << 24)) return 25;
    found->total = 80ull << 30; found->reserved = 600ull << 20; found->used = (unsigned long long)GPU << 30;
    found->free = found->total - found->used;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *found) { CHECK("use"); found[0] = 41; found[1] = 7; return 0; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *found) { CHECK("use"); *found = 350000; return 0; }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *found) { CHECK("use"); *found = 61; return sensor; }
int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *found) { CHECK("use"); *found = 1980; return kind != 1; }
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *found) { CHECK("use"); *found = 1ull << 40; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *found) { CHECK("use"); *found = 4; return 0; }
int nvmlDeviceGetComputeMode(void *handle, int *mode) { CHECK("mode"); *mode = 0; return 0; }
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *later) {
    CHECK("mig");
    *now = *later = IS_DIVIDED ? 1 : 0;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *number) { *number = IS_DIVIDED ? 3 : 0; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned part, void **instance) {
    *instance = (void *)(long)(INSTANCES + part + 1);
    return IS_DIVIDED && part != 1 ? 0 : 6;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *number, process *found) {
    CHECK("processes");
    if (GPU != 1) { *number = 0; return 0; }
    if (*number < 2) { *number = 2; return 7; }
    *number = 2;
    found[0] = (process){4711, 5ull << 30, ~0u, ~0u};
    found[1] = (process){4712, ~0ull, ~0u, ~0u};
    return 0;
}
