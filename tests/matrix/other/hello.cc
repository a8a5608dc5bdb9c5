#include <iostream>
#include <map>
#include <string>
int main() {
    std::map<std::string, int> all{{"one", 1}};
    try {
        all.at("two");
    } catch (const std::exception &) {
        std::cout << "hello from C++\n";
    }
}
