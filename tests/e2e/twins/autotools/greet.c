#include "config.h"

#include <stdio.h>

int main(void) {
    printf("hello from %d bits, %s\n", SIZEOF_VOID_P * 8, PACKAGE_STRING);
    return 0;
}
