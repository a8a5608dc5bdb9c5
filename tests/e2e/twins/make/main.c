#include <stdio.h>

#include "text.h"

int main(void) {
    printf("%zu\n", count_words(stdin));
    return 0;
}
