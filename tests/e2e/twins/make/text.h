#include <stddef.h>
#include <stdio.h>

size_t count_words(FILE *from);
