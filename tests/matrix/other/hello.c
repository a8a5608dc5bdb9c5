#include <stdio.h>
#ifdef __has_include
#if __has_include(<zlib.h>)
#include <zlib.h>
#endif
#endif
int main(void) {
    printf("hello %d\n", (int)sizeof(void *) * 8);
    return 0;
}
