/* A stand-in for NVIDIA's management library: simulated cards behind the real functions.
 *
 * The cards are described in `cards.conf` beside the library; what changes lies in one file that all
 * processes share, so that a setter in one process is seen by a getter in another. -DOLD_DRIVER leaves out
 * what drivers before 555 do not have. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int Return;
enum {
    OK = 0, UNINITIALIZED = 1, BAD_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    TOO_SMALL = 7, NOT_LOADED = 9, TIMEOUT = 10, LOST = 15, MISMATCH = 18, UNKNOWN = 999,
};
enum { CARDS = 16, XIDS = 16, USERS = 4 };
enum { LIE_LOCK = 1, LIE_OFFSET = 2, LIE_POWER = 4 };
enum { MAGIC = 0x5a4f4531 };

typedef struct {
    char uuid[96], name[96], bus[32];
    double arch, core_min, core_max, memory_max, step, power_min, power_default, power_max;
    double offset_min, offset_max, idle_watts, vram, has_offsets, has_energy, has_lock;
    /* what changes */
    double lock_min, lock_max, offset, limit, load, temperature, reasons, vram_used, persistence;
    double lost, lies, user_pid[USERS], user_vram[USERS];
    double energy_mj, updated, xid_next;
    double xid[XIDS];
} Card;

typedef struct {
    unsigned magic, count;
    char driver[80];
    double init_error, anyone; /* anyone: setters need no root, for tests of people without it */
    double setters, kill_before, kill_after, lose_at, slow_ms;
    Card card[CARDS];
} Host;

static Host *host;
static int host_fd = -1;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* ---- the description and the shared file ---- */

typedef struct { const char *key; size_t offset; } Key;
#define FIELD(name) { #name, offsetof(Card, name) }
static const Key card_keys[] = {
    FIELD(arch), FIELD(core_min), FIELD(core_max), FIELD(memory_max), FIELD(step), FIELD(power_min),
    FIELD(power_default), FIELD(power_max), FIELD(offset_min), FIELD(offset_max), FIELD(idle_watts),
    FIELD(vram), FIELD(has_offsets), FIELD(has_energy), FIELD(has_lock), FIELD(lock_min), FIELD(lock_max),
    FIELD(offset), FIELD(limit), FIELD(load), FIELD(temperature), FIELD(reasons), FIELD(vram_used),
    FIELD(persistence), FIELD(lost), FIELD(lies), FIELD(user_pid), FIELD(user_vram), FIELD(energy_mj),
};
#undef FIELD
#define FIELD(name) { #name, offsetof(Host, name) }
static const Key host_keys[] = {
    FIELD(init_error), FIELD(anyone), FIELD(setters), FIELD(kill_before), FIELD(kill_after),
    FIELD(lose_at), FIELD(slow_ms),
};
#undef FIELD

static double *place(void *base, const Key *keys, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i].key, key))
            return (double *)((char *)base + keys[i].offset);
    return NULL;
}
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void describe(FILE *conf, Host *to)
{
    char line[256], key[64], value[80];
    Card *card = NULL;
    while (fgets(line, sizeof line, conf)) {
        if (sscanf(line, " %63s %79[^\n]", key, value) != 2 || key[0] == '#')
            continue;
        double *number;
        if (!strcmp(key, "driver"))
            snprintf(to->driver, sizeof to->driver, "%s", value);
        else if (!strcmp(key, "card")) {
            card = &to->card[to->count];
            snprintf(card->bus, sizeof card->bus, "00000000:%02X:00.0", ++to->count);
            snprintf(card->uuid, sizeof card->uuid, "%s", value);
            card->step = 15, card->core_min = 180, card->idle_watts = 20, card->temperature = 34;
            card->has_offsets = card->has_energy = card->has_lock = 1, card->persistence = 1;
        } else if (card && !strcmp(key, "name"))
            snprintf(card->name, sizeof card->name, "%s", value);
        else if ((number = card ? place(card, card_keys, COUNT(card_keys), key)
                                : place(to, host_keys, COUNT(host_keys), key)))
            *number = atof(value);
    }
    for (unsigned i = 0; i < to->count; i++) {
        if (!to->card[i].limit)
            to->card[i].limit = to->card[i].power_default;
        to->card[i].updated = now();
    }
}

static Host *attach(const char *conf_path, int *fd_out)
{
    FILE *conf = fopen(conf_path, "r");
    char state[512] = "", key[64];
    if (!conf)
        return NULL;
    if (fscanf(conf, " %63s %511s", key, state) != 2 || strcmp(key, "state"))
        return fclose(conf), NULL;
    int fd = open(state, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return fclose(conf), NULL;
    fchmod(fd, 0666);
    flock(fd, LOCK_EX);
    int fresh = lseek(fd, 0, SEEK_END) < (off_t)sizeof(Host);
    Host *found = ftruncate(fd, sizeof(Host))
        ? MAP_FAILED : mmap(NULL, sizeof(Host), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED && (fresh || found->magic != MAGIC)) {
        memset(found, 0, sizeof *found);
        describe(conf, found);
        found->magic = MAGIC;
    }
    flock(fd, LOCK_UN);
    fclose(conf);
    *fd_out = fd;
    return found == MAP_FAILED ? NULL : found;
}

static Host *attach_own(void)
{
    Dl_info info;
    char path[600];
    if (!dladdr((void *)attach_own, &info))
        return NULL;
    snprintf(path, sizeof path, "%s", info.dli_fname);
    char *slash = strrchr(path, '/');
    snprintf(slash ? slash + 1 : path, 32, "cards.conf");
    return attach(path, &host_fd);
}

/* ---- what a test turns, from outside ---- */

static double *knob(int index, const char *key)
{
    if (!host && !(host = attach_own()))
        return NULL;
    return index < 0 ? place(host, host_keys, COUNT(host_keys), key)
                     : place(&host->card[index], card_keys, COUNT(card_keys), key);
}

static void settle(Card *c);

int sim_set(int index, const char *key, double value)
{
    double *at = knob(index, key);
    if (!at)
        return -1;
    if (index >= 0)
        settle(&host->card[index]);
    *at = value;
    return 0;
}

double sim_get(int index, const char *key)
{
    double *at = knob(index, key);
    return at ? *at : NAN;
}

void sim_xid(int index, double number)
{
    if (knob(index, "load")) {
        Card *c = &host->card[index];
        c->xid[(int)c->xid_next % XIDS] = number;
        c->xid_next += 1;
    }
}

/* ---- how a card behaves ---- */

static double snapped(const Card *c, double mhz)
{
    return c->core_min + floor((mhz - c->core_min) / c->step) * c->step;
}

static double demand(const Card *c, double mhz)
{
    double share = mhz / c->core_max;
    double volts = 1 - 0.0003 * c->offset; /* the same clock at a lower point of the curve */
    return c->idle_watts + c->load * (c->power_default * 1.08 - c->idle_watts) * pow(share, 2.4) * volts;
}

static double top(const Card *c)
{
    double clock = c->core_max + c->offset;
    return c->lock_max && clock > c->lock_max ? c->lock_max : clock;
}

static double core(const Card *c)
{
    if (c->load <= 0)
        return c->lock_min > c->core_min ? c->lock_min : c->core_min;
    double clock = top(c);
    while (clock > c->core_min && demand(c, clock) > c->limit)
        clock -= c->step;
    return clock;
}

static double watts(const Card *c)
{
    return c->load > 0 ? demand(c, core(c)) : c->idle_watts;
}

static void settle(Card *c)
{
    double moment = now();
    c->energy_mj += watts(c) * 1000 * (moment - c->updated);
    c->updated = moment;
}

/* ---- the library's own functions ---- */

typedef Card *Device;
#define GET(c)                                                                                         \
    if (!host) return UNINITIALIZED;                                                                   \
    if (host->slow_ms) usleep(host->slow_ms * 1000);                                                   \
    if (!(c)) return BAD_ARGUMENT;                                                                     \
    if ((c)->lost) return LOST

Return nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    if (!host && !(host = attach_own()))
        return NOT_LOADED;
    return host->init_error ? (Return)host->init_error : OK;
}

Return nvmlShutdown(void) { return host ? OK : UNINITIALIZED; }

const char *nvmlErrorString(Return code)
{
    switch (code) {
    case OK: return "Success";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_SUPPORTED: return "Not Supported";
    case BAD_ARGUMENT: return "Invalid Argument";
    case LOST: return "GPU is lost";
    default: return "Simulated Error";
    }
}

static Return text(char *to, unsigned length, const char *from)
{
    if (strlen(from) + 1 > length)
        return TOO_SMALL;
    strcpy(to, from);
    return OK;
}

Return nvmlSystemGetDriverVersion(char *to, unsigned length)
{
    return host ? text(to, length, host->driver) : UNINITIALIZED;
}

Return nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!host) return UNINITIALIZED;
    *count = host->count;
    return OK;
}

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device)
{
    if (!host) return UNINITIALIZED;
    if (index >= host->count) return BAD_ARGUMENT;
    *device = &host->card[index];
    return (*device)->lost ? LOST : OK;
}

Return nvmlDeviceGetHandleByUUID(const char *uuid, Device *device)
{
    if (!host) return UNINITIALIZED;
    for (unsigned i = 0; i < host->count; i++)
        if (!strcmp(host->card[i].uuid, uuid))
            return *device = &host->card[i], OK;
    return NOT_FOUND;
}

Return nvmlDeviceGetUUID(Device c, char *to, unsigned length) { GET(c); return text(to, length, c->uuid); }
Return nvmlDeviceGetName(Device c, char *to, unsigned length) { GET(c); return text(to, length, c->name); }
Return nvmlDeviceGetArchitecture(Device c, unsigned *arch) { GET(c); *arch = c->arch; return OK; }

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} Pci;

Return nvmlDeviceGetPciInfo_v3(Device c, Pci *pci)
{
    GET(c);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->legacy, sizeof pci->legacy, "%.12s", c->bus + 4);
    memcpy(pci->bus_id, c->bus, sizeof pci->bus_id);
    sscanf(c->bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    return OK;
}

Return nvmlDeviceGetClockInfo(Device c, int type, unsigned *mhz)
{
    GET(c);
    *mhz = type == 2 ? (c->load > 0 ? c->memory_max : 405) : core(c);
    return OK;
}

Return nvmlDeviceGetMinMaxClockOfPState(Device c, int type, int pstate, unsigned *low, unsigned *high)
{
    GET(c);
    if (pstate != 0 && pstate != 8) return NOT_SUPPORTED;
    if (type == 2)
        *low = *high = pstate ? 405 : c->memory_max;
    else
        *low = c->core_min, *high = pstate ? c->core_min + 20 * c->step : c->core_max;
    return OK;
}

Return nvmlDeviceGetSupportedPerformanceStates(Device c, unsigned *states, unsigned bytes)
{
    GET(c);
    for (unsigned i = 0; i < bytes / sizeof *states; i++)
        states[i] = i == 0 ? 0 : i == 1 ? 8 : 32;
    return OK;
}

Return nvmlDeviceGetPerformanceState(Device c, unsigned *state) { GET(c); *state = c->load > 0 ? 0 : 8; return OK; }
Return nvmlDeviceGetPowerUsage(Device c, unsigned *mw) { GET(c); *mw = watts(c) * 1000; return OK; }
Return nvmlDeviceGetPowerManagementLimit(Device c, unsigned *mw) { GET(c); *mw = c->limit * 1000; return OK; }
Return nvmlDeviceGetPowerManagementDefaultLimit(Device c, unsigned *mw) { GET(c); *mw = c->power_default * 1000; return OK; }

Return nvmlDeviceGetPowerManagementLimitConstraints(Device c, unsigned *low, unsigned *high)
{
    GET(c);
    *low = c->power_min * 1000, *high = c->power_max * 1000;
    return OK;
}

Return nvmlDeviceGetTemperature(Device c, int sensor, unsigned *celsius)
{
    (void)sensor;
    GET(c);
    *celsius = c->temperature + 30 * c->load;
    return OK;
}

Return nvmlDeviceGetCurrentClocksEventReasons(Device c, unsigned long long *reasons)
{
    GET(c);
    *reasons = (unsigned long long)c->reasons;
    if (c->load <= 0)
        *reasons |= 1;
    else if (core(c) < top(c))
        *reasons |= 4;
    return OK;
}

typedef struct { unsigned long long total, free, used; } Memory;
Return nvmlDeviceGetMemoryInfo(Device c, Memory *m)
{
    GET(c);
    m->total = c->vram, m->used = c->vram_used, m->free = m->total - m->used;
    return OK;
}

typedef struct { unsigned gpu, memory; } Rates;
Return nvmlDeviceGetUtilizationRates(Device c, Rates *r)
{
    GET(c);
    r->gpu = c->load * 100, r->memory = c->load * 60;
    return OK;
}

Return nvmlDeviceGetTotalEnergyConsumption(Device c, unsigned long long *mj)
{
    GET(c);
    if (!c->has_energy) return NOT_SUPPORTED;
    settle(c);
    *mj = c->energy_mj;
    return OK;
}

Return nvmlDeviceGetPersistenceMode(Device c, unsigned *on) { GET(c); *on = c->persistence; return OK; }

typedef struct { unsigned pid; unsigned long long vram; unsigned gpu_instance, compute_instance; } User;
Return nvmlDeviceGetComputeRunningProcesses_v3(Device c, unsigned *count, User *users)
{
    GET(c);
    unsigned found = 0, room = *count;
    for (int i = 0; i < USERS; i++)
        if (c->user_pid[i]) {
            if (users && found < room)
                users[found] = (User){ c->user_pid[i], c->user_vram[i], ~0u, ~0u };
            found++;
        }
    *count = found;
    return found > room ? TOO_SMALL : OK;
}

Return nvmlDeviceGetGraphicsRunningProcesses_v3(Device c, unsigned *count, User *users)
{
    (void)users;
    GET(c);
    *count = 0;
    return OK;
}

/* ---- setters: root's, counted, and the places where a test lets a process die ---- */

static Return begin_set(Card *c)
{
    GET(c);
    if (geteuid() != 0 && !host->anyone) return NO_PERMISSION;
    host->setters += 1;
    if (host->lose_at && host->setters == host->lose_at) {
        c->lost = 1;
        return LOST;
    }
    if (host->kill_before && host->setters == host->kill_before)
        raise(SIGKILL);
    settle(c);
    return OK;
}

static Return end_set(void)
{
    if (host->kill_after && host->setters == host->kill_after)
        raise(SIGKILL);
    return OK;
}
#define SET(c) do { Return failed = begin_set(c); if (failed) return failed; } while (0)

Return nvmlDeviceSetGpuLockedClocks(Device c, unsigned low, unsigned high)
{
    SET(c);
    if (!c->has_lock) return NOT_SUPPORTED;
    if (low > high || high > c->core_max) return BAD_ARGUMENT;
    if (!((int)c->lies & LIE_LOCK))
        c->lock_min = low, c->lock_max = snapped(c, high);
    return end_set();
}

Return nvmlDeviceResetGpuLockedClocks(Device c)
{
    SET(c);
    c->lock_min = c->lock_max = 0;
    return end_set();
}

Return nvmlDeviceSetPowerManagementLimit(Device c, unsigned mw)
{
    SET(c);
    if (mw < c->power_min * 1000 || mw > c->power_max * 1000) return BAD_ARGUMENT;
    if (!((int)c->lies & LIE_POWER))
        c->limit = mw / 1000.0;
    return end_set();
}

#ifndef OLD_DRIVER
typedef struct { unsigned version; int type; int pstate; int mhz, low, high; } Offset;

Return nvmlDeviceGetClockOffsets(Device c, Offset *o)
{
    GET(c);
    if (o->version != (sizeof *o | 1 << 24)) return 25;
    if (!c->has_offsets || o->pstate != 0) return NOT_SUPPORTED;
    o->mhz = o->type == 2 ? 0 : c->offset, o->low = c->offset_min, o->high = c->offset_max;
    return OK;
}

Return nvmlDeviceSetClockOffsets(Device c, Offset *o)
{
    SET(c);
    if (o->version != (sizeof *o | 1 << 24)) return 25;
    if (!c->has_offsets || o->pstate != 0 || o->type == 2) return NOT_SUPPORTED;
    if (o->mhz < c->offset_min || o->mhz > c->offset_max) return BAD_ARGUMENT;
    if (!((int)c->lies & LIE_OFFSET))
        c->offset = floor(o->mhz / c->step) * c->step;
    return end_set();
}
#endif

/* ---- events ---- */

typedef struct { double seen[CARDS]; int watched[CARDS]; } Events;
typedef struct { Device device; unsigned long long type, data; unsigned gpu, compute; } Event;

Return nvmlEventSetCreate(Events **set) { *set = calloc(1, sizeof **set); return OK; }
Return nvmlEventSetFree(Events *set) { free(set); return OK; }

Return nvmlDeviceRegisterEvents(Device c, unsigned long long types, Events *set)
{
    GET(c);
    if (types != 8) return NOT_SUPPORTED;
    set->watched[c - host->card] = 1, set->seen[c - host->card] = c->xid_next;
    return OK;
}

Return nvmlEventSetWait_v2(Events *set, Event *event, unsigned timeout_ms)
{
    double until = now() + timeout_ms / 1000.0;
    do {
        for (unsigned i = 0; i < host->count; i++) {
            Card *c = &host->card[i];
            if (set->watched[i] && set->seen[i] < c->xid_next) {
                double number = c->xid[(int)set->seen[i] % XIDS];
                set->seen[i] += 1;
                *event = (Event){ c, 8, (unsigned long long)number, ~0u, ~0u };
                return OK;
            }
        }
        usleep(2000);
    } while (now() < until);
    return TIMEOUT;
}
