#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 100;
    printf("static const int primes[] = {");
    for (int n = 2; n < most; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (prime)
            printf("%d, ", n);
    }
    puts("};");
    return 0;
}
