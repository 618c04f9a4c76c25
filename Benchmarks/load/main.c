/* Usage: load echo PORT
          load requests ADDRESS PORT CONNECTIONS SECONDS SIZE           messages on kept connections
          load connects ADDRESS PORT CONNECTIONS SECONDS SIZE           a connection for each message
          load paced    ADDRESS PORT CONNECTIONS SECONDS SIZE RATE      RATE messages a second, on kept connections
          load hold     ADDRESS PORT CONNECTIONS SECONDS SIZE           idle connections, until the standard input ends; SECONDS to open them

   Every mode but echo talks to an echo server and compares every byte. The result is one line of JSON on the standard output. */
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct mode {
    const char *name;
    int arguments;
    void (*run)(const struct options *);
} modes[] = {{"echo", 1, echo}, {"requests", 5, requests}, {"connects", 5, connects}, {"paced", 6, paced}, {"hold", 5, hold}};

noreturn void fail(const char *what) {
    fprintf(stderr, "load: ");
    perror(what);
    exit(1);
}

void report(const struct outcome *outcome) {
    printf("{\"count\": %llu, \"errors\": %llu, \"seconds\": %.6f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}\n",
           (unsigned long long)outcome->count, (unsigned long long)outcome->errors, outcome->seconds, latency_at(outcome->latency, 0.5),
           latency_at(outcome->latency, 0.99), latency_at(outcome->latency, 0.999));
    fflush(stdout);
}

/* A number from 1 to `most`. */
static double number(const char *text, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || value <= 0 || value > most) {
        fprintf(stderr, "load: %s is not a number up to %.0f\n", text, most);
        exit(64);
    }
    return value;
}

static void use_all_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **words) {
    struct options options = {.address.sin_family = AF_INET};
    const struct mode *mode = NULL;
    for (size_t at = 0; at < sizeof modes / sizeof *modes; at++)
        if (count >= 2 && strcmp(words[1], modes[at].name) == 0 && count == modes[at].arguments + 2) mode = &modes[at];
    if (!mode) {
        fprintf(stderr, "load: see Benchmarks/load/main.c for its arguments\n");
        return 64;
    }
    char **rest = words + 2;
    if (mode->arguments > 1 && inet_pton(AF_INET, *rest++, &options.address.sin_addr) != 1) fail("the address");
    options.address.sin_port = htons((uint16_t)number(*rest++, 65535));
    if (mode->arguments > 1) {
        options.connections = (unsigned)number(*rest++, 1e6);
        options.seconds = number(*rest++, 3600);
        options.size = (unsigned)number(*rest++, LARGEST_MESSAGE);
    }
    if (mode->arguments > 5) options.rate = (unsigned)number(*rest++, 1e6);
    use_all_descriptors();
    stream_prepare();
    mode->run(&options);
    return 0;
}
