#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

int main(int argc, char **argv) {
    double turns = argc > 1 ? atof(argv[1]) : 1;
    printf("%s: %.3f radians, pointers of %d bytes\n", VERSION, turns * 2 * acos(-1), POINTER);
}
