#include <ctype.h>
#include <stdio.h>

int main(void) {
    int c, inside = 0, words = 0;
    while ((c = getchar()) != EOF) {
        words += !isspace(c) && !inside;
        inside = !isspace(c);
    }
    printf("%d\n", words);
}
