#include "text.h"

#include <ctype.h>

size_t count_words(FILE *from) {
    size_t words = 0;
    int inside = 0, c;
    while ((c = getc(from)) != EOF) {
        if (!isspace(c) && !inside)
            words++;
        inside = !isspace(c);
    }
    return words;
}
