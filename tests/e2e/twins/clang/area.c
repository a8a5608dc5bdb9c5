#include <math.h>

double area(double radius) {
    return radius * radius * 3.141592653589793;
}

/* Known when it is compiled. */
double known(void) {
    return sin(1.0) + cos(0.5) + exp(1.5) + log(3.0) + pow(2.5, 1.5) + atan(0.75) + sqrt(2.0);
}
