#include <array>
#include <map>
#include <string>

extern "C" const char *name_of(int corners) {
    static const std::map<int, std::string> names{{0, "circle"}, {3, "triangle"}, {4, "square"}};
    auto found = names.find(corners);
    return found == names.end() ? "none" : found->second.c_str();
}
