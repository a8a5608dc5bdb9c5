#include <stdio.h>

long sum(const int *numbers, int count);

#ifndef WHEN
#define WHEN "some day"
#endif

int main(void) {
    int numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    printf("%ld on %s\n", sum(numbers, 10), WHEN);
    return sum(numbers, 10) != 55;
}
