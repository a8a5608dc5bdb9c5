#include <stdio.h>
#include <stdlib.h>

#include "table.h"

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 10;
    for (int at = 0; at < most && at < (int)(sizeof primes / sizeof *primes); at++)
        printf("%d ", primes[at]);
    putchar('\n');
}
