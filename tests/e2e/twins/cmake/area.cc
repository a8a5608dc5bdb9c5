#include <cstdlib>
#include <iostream>

extern "C" double rectangle(double width, double height);

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    std::cout << rectangle(std::atof(argv[1]), std::atof(argv[2])) << std::endl;
}
