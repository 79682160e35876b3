/* The wall clock of a process, and of all it starts, moved by TESTS_CLOCK_OFFSET seconds.

   Preloaded by tests/clock.py. Clocks that measure time that passes stay as they are, and nothing
   but the offset is read: the environment once, before main(). */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

time_t tests_clock_offset = 0; /* clock.py sets it to 0 while the stack's tests run */

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("TESTS_CLOCK_OFFSET");
  if (text != NULL)
    tests_clock_offset = atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *found) {
  int result = syscall(SYS_clock_gettime, clock, found);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    found->tv_sec += tests_clock_offset;
  return result;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone) {
  struct timespec now;
  (void)zone; /* obsolete; nobody asks for it */
  clock_gettime(CLOCK_REALTIME, &now);
  found->tv_sec = now.tv_sec;
  found->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *found) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as the C library does */
  if (found != NULL)
    *found = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *found, int base) {
  if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, found) != 0)
    return 0;
  return base;
}

/* Waits until a time of the wall clock, which the kernel knows as it is: Python 3.10's locks and
   multiprocessing's do. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
  static int (*real)(sem_t *, const struct timespec *) = NULL;
  struct timespec moved = *end;
  if (real == NULL)
    real = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
  moved.tv_sec -= tests_clock_offset;
  return real(semaphore, &moved);
}
