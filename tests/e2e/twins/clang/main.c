#include <stdio.h>

double area(double radius);
double known(void);
const char *name_of(int corners);

int main(void) {
    for (int corners = 0; corners < 5; corners++)
        printf("%s\n", name_of(corners));
    printf("%.3f %.3f\n", area(2), known());
    return 0;
}
